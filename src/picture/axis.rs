//! The instants that an axis names. Pure.

use std::time::Duration;

/// Between two of them, in milliseconds.
const STEPS: [u64; 25] = [
    1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 15_000, 30_000, 60_000, 120_000, 300_000, 600_000,
    900_000, 1_800_000, 3_600_000, 7_200_000, 21_600_000, 86_400_000,
];

/// From zero to `end`, so that there are no more than `most` steps between.
pub(super) fn instants(end: Duration, most: usize) -> Vec<Duration> {
    let end = u64::try_from(end.as_millis()).unwrap_or(u64::MAX);
    let most = u64::try_from(most.max(1)).unwrap_or(u64::MAX);
    let fits = |step: &u64| end / step <= most;
    let days = end.div_ceil(most).div_ceil(86_400_000).saturating_mul(86_400_000);
    let step = STEPS.into_iter().find(fits).unwrap_or(days);
    (0..=end / step).map(|n| Duration::from_millis(n * step)).collect()
}

/// `0s`, `500ms`, `1.5s`, `30s`, `1m30s`, `2h`.
pub(super) fn name(at: Duration) -> String {
    let (ms, secs) = (at.as_millis(), at.as_secs());
    match (ms, secs) {
        (1..1000, _) => format!("{ms}ms"),
        (_, 0..60) if ms % 1000 != 0 => format!("{}s", at.as_secs_f64()),
        (_, 0..60) => format!("{secs}s"),
        (_, 60..3600) if secs % 60 == 0 => format!("{}m", secs / 60),
        (_, 60..3600) => format!("{}m{:02}s", secs / 60, secs % 60),
        _ if secs % 3600 == 0 => format!("{}h", secs / 3600),
        _ => format!("{}h{:02}m", secs / 3600, secs % 3600 / 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_axis_has_few_round_instants_whatever_its_length() {
        let named = |ms: u64, most| {
            instants(Duration::from_millis(ms), most).into_iter().map(name).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(named(30_000, 6), "0s 5s 10s 15s 20s 25s 30s");
        assert_eq!(named(30_000, 3), "0s 10s 20s 30s");
        assert_eq!(named(2_000, 4), "0s 500ms 1s 1.5s 2s");
        assert_eq!(named(90_000, 6), "0s 15s 30s 45s 1m 1m15s 1m30s");
        assert_eq!(named(7_200_000, 4), "0s 30m 1h 1h30m 2h");
        for ms in (0..40).map(|bit| 3u64 << bit) {
            let count = instants(Duration::from_millis(ms), 5).len();
            assert!((1..=6).contains(&count), "{ms} ms: {count}");
        }
    }
}
