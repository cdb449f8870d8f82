//! Values of single keys: from a TOML value to a type, or to what is wrong with it.
//!
//! A quantity carries its unit in the file: durations are strings such as `"30s"`, sizes are
//! strings such as `"8KiB"`, counts are plain integers. None of them may be zero.

use std::fmt;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use secrecy::SecretString;
use toml::de::{DeInteger, DeValue};
use url::Url;

use super::fault::Problem;

/// A type that one key can have.
pub(super) trait Value: Sized {
    /// What the file must say, with an example: the end of "expected …".
    const EXPECTED: &'static str;

    /// Takes the value, or says what is wrong with it.
    fn read(value: &DeValue<'_>) -> Result<Self, Problem>;

    /// The problem of a value of another type.
    fn mismatch(value: &DeValue<'_>) -> Problem {
        Problem::WrongType {
            expected: Self::EXPECTED,
            found: value.type_str(),
        }
    }
}

impl Value for bool {
    const EXPECTED: &'static str = "true or false";

    fn read(value: &DeValue<'_>) -> Result<Self, Problem> {
        value.as_bool().ok_or_else(|| Self::mismatch(value))
    }
}

impl Value for String {
    const EXPECTED: &'static str = "a string in quotes";

    fn read(value: &DeValue<'_>) -> Result<Self, Problem> {
        match value.as_str() {
            Some("") => Err(Problem::Empty),
            Some(text) => Ok(text.to_owned()),
            None => Err(Self::mismatch(value)),
        }
    }
}

impl Value for SecretString {
    const EXPECTED: &'static str = String::EXPECTED;

    fn read(value: &DeValue<'_>) -> Result<Self, Problem> {
        String::read(value).map(Self::from)
    }
}

impl Value for PathBuf {
    const EXPECTED: &'static str = "a path in quotes";

    fn read(value: &DeValue<'_>) -> Result<Self, Problem> {
        match value.as_str() {
            Some("") => Err(Problem::Empty),
            Some(text) => Ok(Self::from(text)),
            None => Err(Self::mismatch(value)),
        }
    }
}

impl Value for SocketAddr {
    const EXPECTED: &'static str = "an IP address and a port, such as \"127.0.0.1:5222\"";

    fn read(value: &DeValue<'_>) -> Result<Self, Problem> {
        let text = value.as_str().ok_or_else(|| Self::mismatch(value))?;
        text.parse().map_err(|_| Problem::NotAnAddress {
            text: text.to_owned(),
        })
    }
}

impl Value for Url {
    const EXPECTED: &'static str = "a URL in quotes, such as \"http://127.0.0.1:8080/auth\"";

    fn read(value: &DeValue<'_>) -> Result<Self, Problem> {
        let text = value.as_str().ok_or_else(|| Self::mismatch(value))?;
        Self::parse(text).map_err(|reason| Problem::NotAUrl { reason })
    }
}

impl Value for usize {
    const EXPECTED: &'static str = "a whole number above 0";

    fn read(value: &DeValue<'_>) -> Result<Self, Problem> {
        let number = value.as_integer().ok_or_else(|| Self::mismatch(value))?;
        match whole(number) {
            Some(0) => Err(Problem::Zero),
            Some(number) => Ok(number),
            None => Err(Problem::NotACount {
                text: number.to_string(),
            }),
        }
    }
}

impl Value for NonZeroUsize {
    const EXPECTED: &'static str = usize::EXPECTED;

    fn read(value: &DeValue<'_>) -> Result<Self, Problem> {
        usize::read(value).and_then(|number| Self::new(number).ok_or(Problem::Zero))
    }
}

impl Value for Duration {
    const EXPECTED: &'static str = "a duration with its unit, such as \"500ms\", \"30s\" or \"5m\"";

    fn read(value: &DeValue<'_>) -> Result<Self, Problem> {
        let text = value.as_str().ok_or_else(|| Self::mismatch(value))?;
        let milliseconds = with_unit(
            text,
            &[("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000)],
        );
        match milliseconds {
            Some(0) => Err(Problem::Zero),
            Some(milliseconds) => Ok(Self::from_millis(milliseconds)),
            None => Err(Problem::NotAQuantity {
                text: text.to_owned(),
                expected: Self::EXPECTED,
            }),
        }
    }
}

/// A number of bytes, written with its unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Size(pub(super) usize);

impl Value for Size {
    const EXPECTED: &'static str = "a size with its unit, such as \"512B\", \"8KiB\" or \"4MiB\"";

    fn read(value: &DeValue<'_>) -> Result<Self, Problem> {
        let text = value.as_str().ok_or_else(|| Self::mismatch(value))?;
        let bytes = with_unit(
            text,
            &[
                ("GiB", 1 << 30),
                ("MiB", 1 << 20),
                ("KiB", 1 << 10),
                ("B", 1),
            ],
        );
        match bytes.and_then(|bytes| usize::try_from(bytes).ok()) {
            Some(0) => Err(Problem::Zero),
            Some(bytes) => Ok(Self(bytes)),
            None => Err(Problem::NotAQuantity {
                text: text.to_owned(),
                expected: Self::EXPECTED,
            }),
        }
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unit = [(1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
        match unit.iter().find(|(size, _)| self.0.is_multiple_of(*size)) {
            Some((size, name)) => write!(f, "{}{name}", self.0 / size),
            None => write!(f, "{}B", self.0),
        }
    }
}

/// A duration as it is written in the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Written(pub(super) Duration);

impl Value for Written {
    const EXPECTED: &'static str = Duration::EXPECTED;

    fn read(value: &DeValue<'_>) -> Result<Self, Problem> {
        Duration::read(value).map(Self)
    }
}

impl fmt::Display for Written {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let milliseconds = self.0.as_millis();
        let unit = [(3_600_000, "h"), (60_000, "m"), (1_000, "s")];
        match unit
            .iter()
            .find(|(unit, _)| milliseconds.is_multiple_of(*unit))
        {
            Some((unit, name)) => write!(f, "{}{name}", milliseconds / unit),
            None => write!(f, "{milliseconds}ms"),
        }
    }
}

/// `"30s"` with `("s", 1_000)` is 30,000; the first unit that fits wins, overflow is refused.
fn with_unit(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let (number, factor) = units
        .iter()
        .find_map(|(unit, factor)| Some((text.strip_suffix(unit)?, factor)))?;
    let number = number.trim_end();
    if !number.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    number.parse::<u64>().ok()?.checked_mul(*factor)
}

fn whole(number: &DeInteger<'_>) -> Option<usize> {
    usize::from_str_radix(number.as_str(), number.radix()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quantity_is_its_number_times_its_unit() {
        let read = |text: &str| Duration::read(&DeValue::String(text.into())).ok();
        assert_eq!(read("500ms"), Some(Duration::from_millis(500)));
        assert_eq!(read("30s"), Some(Duration::from_secs(30)));
        assert_eq!(read("5 m"), Some(Duration::from_secs(300)));
        for wrong in [
            "",
            "s",
            "30",
            "+3s",
            "-1s",
            "1.5s",
            "0s",
            "99999999999999999999s",
            "9999999999999999999h",
        ] {
            assert_eq!(read(wrong), None, "{wrong:?}");
        }
    }

    #[test]
    fn a_duration_is_shown_as_it_is_written() {
        for text in ["4500ms", "30s", "5m", "2h"] {
            let duration = Written::read(&DeValue::String(text.into()));
            assert_eq!(
                duration.map(|it| it.to_string()).ok().as_deref(),
                Some(text)
            );
        }
    }

    #[test]
    fn a_size_is_shown_as_it_is_written() {
        for text in ["8KiB", "1MiB", "2GiB", "1000B"] {
            let size = Size::read(&DeValue::String(text.into())).map(|size| size.to_string());
            assert_eq!(size.ok().as_deref(), Some(text));
        }
        for wrong in ["8KB", "8 kib", "8", "KiB", "0B"] {
            assert!(
                Size::read(&DeValue::String(wrong.into())).is_err(),
                "{wrong:?}"
            );
        }
    }
}
