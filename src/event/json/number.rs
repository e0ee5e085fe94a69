//! Numbers that other readers of JSON could not hold.

/// Whether a valid value is a number that is too large for a double, such as `1e999`. JavaScript
/// makes Infinity of it, and other parsers fail.
pub(crate) fn is_beyond_double(value: &str) -> bool {
    /// A number of fewer digits than this, without an exponent, is below the largest double,
    /// 1.8e308.
    const FEW_DIGITS: usize = 300;
    let bytes = value.as_bytes();
    matches!(bytes.first(), Some(b'-' | b'0'..=b'9'))
        && (bytes.len() > FEW_DIGITS || bytes.iter().any(|byte| matches!(byte, b'e' | b'E')))
        // Close to the bound serde_json and the standard library round differently, so that the
        // number must be finite for both.
        && (!value.parse().is_ok_and(f64::is_finite) || serde_json::from_str::<f64>(value).is_err())
}
