//! CPU and memory during a run: of the relays, their database, and the simulation itself.

use serde::Serialize;

use super::process::{cpu_seconds, family_cpu_seconds, own_cpu_seconds, resident_bytes};

/// The memory of all relays together, in bytes.
#[derive(Debug, Clone, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Memory {
    pub(super) before_dashboards: u64,
    pub(super) connected: u64,
    pub(super) loaded: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) idled: Option<u64>,
    /// The growth from before the dashboards to the end, divided by the dashboards. It includes the
    /// growth of the log.
    pub(super) per_dashboard: f64,
}

impl Memory {
    pub(super) fn per(mut self, dashboards: usize) -> Self {
        let end = self.idled.unwrap_or(self.loaded);
        self.per_dashboard =
            (end as f64 - self.before_dashboards as f64) / dashboards.max(1) as f64;
        self
    }
}

/// The cost of the run, from the beginning of the load to the last delivery.
#[derive(Debug, Clone, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Usage {
    #[serde(rename = "elapsedSeconds")]
    pub(super) seconds: f64,
    pub(super) own_cpu_seconds: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) relay_cpu_seconds: Option<f64>,
    /// The CPU time of all relays, divided by the events delivered to dashboards.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) relay_cpu_micros_per_delivery: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) postgres_cpu_seconds: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) memory: Option<Memory>,
}

impl Usage {
    pub(super) fn per_delivery(mut self, delivered: u64) -> Self {
        self.relay_cpu_micros_per_delivery = self
            .relay_cpu_seconds
            .filter(|_| delivered > 0)
            .map(|seconds| seconds * 1e6 / delivered as f64);
        self
    }
}

/// The processes that are measured.
#[derive(Debug, Clone, Default)]
pub(super) struct Meter {
    pub(super) relays: Vec<u32>,
    pub(super) postmaster: Option<u32>,
}

/// A reading of all CPU times.
pub(super) struct Reading {
    at: std::time::Instant,
    own: f64,
    relays: f64,
    postgres: f64,
}

impl Meter {
    pub(super) fn read(&self) -> Reading {
        Reading {
            at: std::time::Instant::now(),
            own: own_cpu_seconds(),
            relays: cpu_seconds(&self.relays),
            postgres: self.postmaster.map_or(0.0, family_cpu_seconds),
        }
    }

    /// The usage since an earlier reading.
    pub(super) fn since(&self, reading: &Reading) -> Usage {
        let now = self.read();
        Usage {
            seconds: (now.at - reading.at).as_secs_f64(),
            own_cpu_seconds: now.own - reading.own,
            relay_cpu_seconds: (!self.relays.is_empty()).then_some(now.relays - reading.relays),
            relay_cpu_micros_per_delivery: None,
            postgres_cpu_seconds: self.postmaster.map(|_| now.postgres - reading.postgres),
            memory: None,
        }
    }

    pub(super) fn memory(&self) -> u64 {
        resident_bytes(&self.relays)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dashboards_memory_is_the_growth_that_is_left_at_the_end() {
        let memory =
            Memory { before_dashboards: 1000, connected: 5000, loaded: 9000, ..Memory::default() };
        assert_eq!(memory.clone().per(4).per_dashboard, 2000.0);
        assert_eq!(Memory { idled: Some(3000), ..memory }.per(4).per_dashboard, 500.0);
    }

    #[test]
    fn cpu_is_divided_by_deliveries() {
        let usage = Usage { relay_cpu_seconds: Some(2.0), ..Usage::default() };
        assert_eq!(usage.clone().per_delivery(1_000_000).relay_cpu_micros_per_delivery, Some(2.0));
        assert_eq!(usage.per_delivery(0).relay_cpu_micros_per_delivery, None);
    }
}
