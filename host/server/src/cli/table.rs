//! Text in columns, for people.

/// The rows below each other, each column as wide as its widest cell. The last one is as wide as
/// it is.
pub(super) fn aligned<const COLUMNS: usize>(rows: &[[String; COLUMNS]]) -> Vec<String> {
    let mut widths = [0; COLUMNS];
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let line = |row: &[String; COLUMNS]| {
        let mut line = String::new();
        for (width, cell) in widths.iter().zip(row) {
            line.push_str(&format!("{cell:width$}  "));
        }
        line.trim_end().to_owned()
    };
    rows.iter().map(line).collect()
}

/// How long something takes or has taken, in its two largest units.
pub(super) fn span(seconds: f64) -> String {
    /// A year has some 31 million; what is longer is a fault of somebody's clock.
    const MOST: f64 = 1e12;
    if seconds < 10.0 {
        return format!("{seconds:.1}s");
    }
    // In range by the line before and by `MOST`.
    let whole = seconds.min(MOST) as u64;
    let (days, hours) = (whole / 86_400, whole / 3_600 % 24);
    let (minutes, seconds) = (whole / 60 % 60, whole % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds}s"),
        (0, 0, _) => format!("{minutes}m {seconds}s"),
        (0, _, _) => format!("{hours}h {minutes}m"),
        _ => format!("{days}d {hours}h"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let rows = [["A", "BC", "D"], ["long", "ü", "x"]];
        let rows = rows.map(|row| row.map(str::to_owned));
        assert_eq!(aligned(&rows), ["A     BC  D", "long  ü   x"]);
    }

    #[test]
    fn a_span_has_two_units() {
        for (seconds, expected) in [
            (0.0, "0.0s"),
            (4.25, "4.2s"),
            (12.9, "12s"),
            (60.0, "1m 0s"),
            (3_725.0, "1h 2m"),
            (200_000.0, "2d 7h"),
            (f64::INFINITY, "11574074d 1h"),
        ] {
            assert_eq!(span(seconds), expected);
        }
    }
}
