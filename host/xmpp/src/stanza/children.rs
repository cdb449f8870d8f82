//! Canonical XML text, looked into without a tree.
//!
//! Owns the walk over elements that stand side by side. It relies on the form
//! of [`Payload`](super::Payload): `<` and `>` stand for nothing but tags, and
//! attribute values are in double quotes.

use std::borrow::Cow;

use crate::encode::unescape;

/// Elements that stand side by side.
#[derive(Clone, Debug)]
pub struct Children<'a> {
    rest: &'a str,
    namespace: Cow<'a, str>,
}

/// One element, as text.
#[derive(Clone, Debug)]
pub struct Child<'a> {
    xml: &'a str,
    /// Of the element around it.
    outer: Cow<'a, str>,
}

impl<'a> Children<'a> {
    /// The elements of `xml`, which stands within an element of `namespace`.
    pub(crate) fn of(xml: &'a str, namespace: &'a str) -> Self {
        Self {
            rest: xml,
            namespace: Cow::Borrowed(namespace),
        }
    }
}

impl<'a> Iterator for Children<'a> {
    type Item = Child<'a>;

    fn next(&mut self) -> Option<Child<'a>> {
        let rest = self.rest.get(self.rest.find('<')?..)?;
        let (xml, rest) = rest.split_at_checked(element_length(rest)?)?;
        self.rest = rest;
        Some(Child {
            xml,
            outer: self.namespace.clone(),
        })
    }
}

impl<'a> Child<'a> {
    /// The element as text, relative to the namespace around it.
    pub fn xml(&self) -> &'a str {
        self.xml
    }

    /// Its name.
    pub fn name(&self) -> &'a str {
        self.tag().0
    }

    /// Its namespace.
    pub fn namespace(&self) -> Cow<'a, str> {
        self.attribute("xmlns")
            .unwrap_or_else(|| self.outer.clone())
    }

    /// Whether it is `name` in `namespace`.
    pub fn is(&self, namespace: &str, name: &str) -> bool {
        self.name() == name && self.namespace() == namespace
    }

    /// The value of an attribute that has no prefix.
    pub fn attribute(&self, name: &str) -> Option<Cow<'a, str>> {
        let mut rest = self.tag().1;
        while let Some((key, tail)) = rest.split_once("=\"") {
            let (value, tail) = tail.split_once('"')?;
            if key.trim_start() == name {
                return Some(unescape(value));
            }
            rest = tail;
        }
        None
    }

    /// The elements in it.
    pub fn children(&self) -> Children<'a> {
        let inside = self.xml.find('>').zip(self.xml.rfind("</"));
        let inside = inside.and_then(|(start, end)| self.xml.get(start + 1..end));
        Children {
            rest: inside.unwrap_or_default(),
            namespace: self.namespace(),
        }
    }

    /// The name, and what stands behind it in the start tag.
    fn tag(&self) -> (&'a str, &'a str) {
        let tag = self.xml.get(1..).unwrap_or_default();
        let tag = tag.split('>').next().unwrap_or_default();
        let end = tag.find([' ', '/']).unwrap_or(tag.len());
        tag.split_at_checked(end).unwrap_or((tag, ""))
    }
}

/// Bytes of the element that `xml` starts with.
fn element_length(xml: &str) -> Option<usize> {
    let (mut at, mut depth) = (0, 0_usize);
    loop {
        let start = at + xml.get(at..)?.find('<')?;
        let end = start + xml.get(start..)?.find('>')? + 1;
        let tag = xml.get(start..end)?;
        if tag.starts_with("</") {
            depth = depth.checked_sub(1)?;
        } else if !tag.ends_with("/>") {
            depth += 1;
        }
        if depth == 0 {
            return Some(end);
        }
        at = end;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(children: Children<'_>) -> Vec<String> {
        children
            .map(|child| format!("{{{}}}{}", child.namespace(), child.name()))
            .collect()
    }

    #[test]
    fn siblings_are_walked_over_and_not_entered() {
        let xml =
            "<body>1 &gt; 2</body><x xmlns=\"urn:x\" a=\" xmlns=\"><x><y/></x><body/></x><z/>";
        let children = Children::of(xml, "jabber:client");
        assert_eq!(
            names(children.clone()),
            ["{jabber:client}body", "{urn:x}x", "{jabber:client}z"]
        );
        let x = children.clone().nth(1).unwrap();
        assert_eq!(names(x.children()), ["{urn:x}x", "{urn:x}body"]);
        assert_eq!(x.attribute("a").as_deref(), Some(" xmlns="));
        assert_eq!(x.attribute("b"), None);
        assert_eq!(
            children.map(|child| child.xml()).collect::<String>(),
            xml,
            "nothing is lost between them"
        );
    }

    #[test]
    fn empty_elements_and_nothing() {
        assert_eq!(Children::of("", "a").count(), 0);
        let mut children = Children::of("<a b=\"&amp;&quot;\"/>", "n");
        let a = children.next().unwrap();
        assert_eq!(a.attribute("b").as_deref(), Some("&\""));
        assert!(a.is("n", "a") && a.children().next().is_none());
        assert!(children.next().is_none());
    }
}
