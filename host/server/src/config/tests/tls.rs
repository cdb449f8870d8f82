//! Certificates, and what clients would refuse.

use super::*;

/// A configuration beside the files of `pair`, with a certificate and nothing to say about TLS.
fn with_certificate(pair: &Pair) -> (tempfile::TempDir, Result<Config, Faults>) {
    let directory = tempfile::tempdir().unwrap();
    pair.write(directory.path());
    let text = SMALLEST.replace(TLS, "");
    let text = format!("{text}\ntls = {{ certificate = \"crt\", key = \"key\" }}");
    let config = Config::parse(&text, &directory.path().join("muster.toml"));
    (directory, config)
}

#[test]
fn a_certificate_is_all_that_tls_needs() {
    let (directory, config) = with_certificate(&pair("example.test", 90));
    let config = config.unwrap();
    assert!(config.xmpp.require_tls && config.warnings.is_empty());
    let tls = config.virtual_hosts[0].tls.as_ref().unwrap();
    assert_eq!(tls.files.key, directory.path().join("key"));
}

#[test]
fn what_clients_would_refuse_is_a_warning() {
    for (pair, expected) in [
        (
            pair("example.com", 90),
            "example.test: the certificate is not for this domain; clients refuse it\n    help: the certificate needs example.test among its subject alternative names",
        ),
        (
            pair("example.test", 0),
            "example.test: the certificate has expired; clients refuse it",
        ),
        (
            pair("example.test", 10),
            "example.test: the certificate expires in 9 days",
        ),
    ] {
        let (_directory, config) = with_certificate(&pair);
        let [warning] = &config.unwrap().warnings[..] else {
            panic!("one warning: {expected}")
        };
        assert!(warning.to_string().ends_with(expected), "{warning}");
        assert_eq!(warning.key, "virtual_host[0].tls.certificate");
    }
}

#[test]
fn a_key_of_another_certificate_is_refused() {
    let (_directory, config) = with_certificate(&Pair {
        key: pair("example.test", 90).key,
        ..pair("example.test", 90)
    });
    let faults = config.unwrap_err();
    let told = faults.to_string();
    assert!(
        told.contains("key is not the one of the certificate in"),
        "{told}"
    );
}
