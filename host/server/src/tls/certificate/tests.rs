//! Files as they come: good ones, broken ones, and pairs that do not belong together.

use super::*;
use crate::tls::testing::pair;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

#[test]
fn a_pair_is_read_with_what_it_says_of_itself() {
    let directory = tempfile::tempdir().unwrap();
    let files = pair("example.test", 30).write(directory.path());
    let certificate = files.load().unwrap();
    assert!(certificate.covers("example.test"));
    assert!(!certificate.covers("www.example.test") && !certificate.covers("example.com"));
    let left = certificate.not_after.duration_since(SystemTime::now());
    assert!((28 * DAY..29 * DAY).contains(&left.unwrap()));
    assert_eq!(
        certificate.end_point.as_deref(),
        Some(&Sha256::digest(&certificate.chain.cert[0])[..]),
        "ECDSA with SHA-256"
    );
}

#[test]
fn one_file_may_have_both() {
    let directory = tempfile::tempdir().unwrap();
    let pair = pair("example.test", 30);
    let both = directory.path().join("both");
    std::fs::write(&both, pair.key + &pair.certificate).unwrap();
    let files = CertificateFiles {
        certificate: both.clone(),
        key: both,
    };
    assert!(files.load().is_ok());
}

#[test]
fn what_is_wrong_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let good = pair("example.test", 30);
    let files = good.write(directory.path());
    let told = |certificate: &str, key: &str| {
        std::fs::write(&files.certificate, certificate).unwrap();
        std::fs::write(&files.key, key).unwrap();
        let error = files.load().unwrap_err().to_string();
        error.replace(directory.path().to_str().unwrap(), "")
    };
    let half = &good.certificate[..good.certificate.len() / 2];
    let not_der = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    for (certificate, key, expected) in [
        (
            half,
            &*good.key,
            "/crt holds no whole certificate in PEM form",
        ),
        ("", &good.key, "/crt holds no whole certificate in PEM form"),
        (
            not_der,
            &good.key,
            "the certificate in /crt cannot be understood",
        ),
        (
            &good.certificate,
            "",
            "/key holds no whole unencrypted private key in PEM form",
        ),
        (
            &good.certificate,
            &good.key[..good.key.len() / 2],
            "/key holds no whole unencrypted private key in PEM form",
        ),
        (
            &good.certificate,
            &pair("example.test", 30).key,
            "the key in /key is not the one of the certificate in /crt",
        ),
    ] {
        assert_eq!(told(certificate, key), expected);
    }
    std::fs::remove_file(&files.key).unwrap();
    assert!(matches!(
        files.load(),
        Err(CertificateError::Unreadable { path, .. }) if path == files.key
    ));
}

#[test]
fn nothing_absurdly_large_is_read() {
    let directory = tempfile::tempdir().unwrap();
    let files = pair("example.test", 30).write(directory.path());
    let endless = std::fs::File::create(&files.key).unwrap();
    endless.set_len(1 << 40).unwrap();
    assert!(matches!(
        files.load(),
        Err(CertificateError::TooLarge { .. })
    ));
}

#[test]
fn the_end_is_told_from_fourteen_days_before() {
    let directory = tempfile::tempdir().unwrap();
    let certificate = pair("example.test", 100)
        .write(directory.path())
        .load()
        .unwrap();
    let end = certificate.not_after;
    for (now, expected) in [
        (
            certificate.not_before - DAY,
            Some(CertificateConcern::NotYetValid),
        ),
        (end - 15 * DAY, None),
        (
            end - 14 * DAY,
            Some(CertificateConcern::ExpiresSoon { days: 14 }),
        ),
        (
            end - DAY / 2,
            Some(CertificateConcern::ExpiresSoon { days: 1 }),
        ),
        (end + DAY, Some(CertificateConcern::Expired)),
    ] {
        assert_eq!(certificate.expiry(now), expected);
    }
    let concerns: Vec<_> = certificate
        .concerns("example.com", end - 15 * DAY)
        .collect();
    assert_eq!(concerns, [CertificateConcern::NotCovered]);
}
