//! What the embedded bytes are, and what they ask of a host.

use wasmparser::{Parser, Payload};

use super::COMPONENT;

/// The names at the component's own level, without those of nested ones.
fn names() -> (Vec<String>, Vec<String>) {
    let (mut imports, mut exports) = (Vec::new(), Vec::new());
    let mut depth = 0;
    for payload in Parser::new(0).parse_all(COMPONENT) {
        match payload.expect("a valid component") {
            Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => depth += 1,
            Payload::End(_) => depth -= 1,
            Payload::ComponentImportSection(section) if depth == 0 => {
                imports.extend(
                    section
                        .into_iter()
                        .map(|i| i.expect("an import").name.name.to_owned()),
                );
            }
            Payload::ComponentExportSection(section) if depth == 0 => {
                exports.extend(
                    section
                        .into_iter()
                        .map(|e| e.expect("an export").name.name.to_owned()),
                );
            }
            _ => {}
        }
    }
    (imports, exports)
}

#[test]
fn it_is_a_component() {
    assert!(Parser::is_component(COMPONENT));
}

#[test]
fn it_exports_the_contract() {
    let (_, mut exports) = names();
    exports.sort();
    assert_eq!(
        exports,
        [
            "muster:roster/batch@0.1.0",
            "muster:roster/roster@0.1.0",
            "wasi:http/handler@0.3.2"
        ]
    );
}

/// A host without files and sockets runs it: the contract, and what the
/// standard library asks for.
#[test]
fn it_imports_no_more_than_the_contract_and_the_runtime() {
    let (imports, _) = names();
    for required in [
        "muster:roster/rosters@0.1.0",
        "wasi:config/store@0.2.0-rc.1",
        "wasi:http/types@0.3.2",
        "wasi:http/client@0.3.2",
    ] {
        assert!(
            imports.iter().any(|import| import == required),
            "{required} in {imports:?}"
        );
    }
    let allowed = [
        "muster:roster/",
        "wasi:config/",
        "wasi:http/",
        "wasi:cli/",
        "wasi:clocks/",
        "wasi:io/",
        "wasi:random/",
    ];
    for import in &imports {
        assert!(
            allowed.iter().any(|package| import.starts_with(package)),
            "{import}"
        );
    }
}
