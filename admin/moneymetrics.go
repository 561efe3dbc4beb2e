package admin

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/sallyport-dev/sallyport/abi"
	"github.com/sallyport-dev/sallyport/ledger"
)

// MoneyFigures are what the metrics of money and storage are read from, whenever they are scraped.
type MoneyFigures struct {
	Ledger       ledger.Figures
	AlertsGiven  uint64
	AlertsSent   uint64
	AlertsFailed uint64
	LogPaused    bool // the request log does not write: the disk is nearly full
	LedgerPaused bool // nothing is booked: the disk is full, or cannot be written
}

// moneyMetric is one metric of MoneyFigures.
type moneyMetric struct {
	desc  *prometheus.Desc
	kind  prometheus.ValueType
	value func(*MoneyFigures) float64
}

// moneyCollector reads MoneyFigures once for a scrape.
type moneyCollector struct {
	figures func() MoneyFigures
	metrics []moneyMetric
}

// Watch adds the metrics of money and storage.
func (m *Metrics) Watch(figures func() MoneyFigures) {
	c := &moneyCollector{figures: figures}
	counter := func(name, help string, value func(*MoneyFigures) uint64) {
		c.add(name, help, prometheus.CounterValue, func(f *MoneyFigures) float64 { return float64(value(f)) })
	}
	c.add("sallyport_ledger_open_reservations", "Attempts under way that hold money.", prometheus.GaugeValue,
		func(f *MoneyFigures) float64 { return float64(f.Ledger.Open) })
	c.add("sallyport_ledger_reserved_dollars", "What they hold.", prometheus.GaugeValue,
		func(f *MoneyFigures) float64 { return f.Ledger.Reserved.Dollars() })
	c.add("sallyport_ledger_resident_accounts", "Accounts in memory.", prometheus.GaugeValue,
		func(f *MoneyFigures) float64 { return float64(f.Ledger.Resident) })
	counter("sallyport_ledger_settled_total", "Attempts that were settled.", func(f *MoneyFigures) uint64 { return f.Ledger.Settled })
	counter("sallyport_ledger_overruns_total", "Of these, those that cost more than was reserved.", func(f *MoneyFigures) uint64 { return f.Ledger.Overruns })
	counter("sallyport_ledger_unpriced_total", "Of these, those whose model has no price.", func(f *MoneyFigures) uint64 { return f.Ledger.Unpriced })
	counter("sallyport_ledger_crashed_total", "Attempts that were open when the gateway ended, booked at its next start.", func(f *MoneyFigures) uint64 { return f.Ledger.Crashed })
	counter("sallyport_ledger_unbooked_total", "Attempts that passed while the ledger could not be written.", func(f *MoneyFigures) uint64 { return f.Ledger.Unbooked })
	counter("sallyport_ledger_segments_total", "Segments of the journal that were written.", func(f *MoneyFigures) uint64 { return f.Ledger.Segments })
	counter("sallyport_ledger_failures_total", "Writes to the journal that failed.", func(f *MoneyFigures) uint64 { return f.Ledger.Failures })
	counter("sallyport_ledger_discrepancies_total", "Checks in which a balance was not the sum of what is booked and reserved. Must stay 0.", func(f *MoneyFigures) uint64 { return f.Ledger.Discrepancy })
	counter("sallyport_alerts_total", "Shares of budgets that were reached and told of.", func(f *MoneyFigures) uint64 { return f.AlertsGiven })
	counter("sallyport_alerts_delivered_total", "Alerts that the webhook took.", func(f *MoneyFigures) uint64 { return f.AlertsSent })
	counter("sallyport_alerts_failed_total", "Alerts that the webhook did not take.", func(f *MoneyFigures) uint64 { return f.AlertsFailed })
	c.add("sallyport_request_log_paused", "1 while the disk is too full for the request log.", prometheus.GaugeValue,
		func(f *MoneyFigures) float64 { return oneIf(f.LogPaused) })
	c.add("sallyport_ledger_paused", "1 while nothing can be booked.", prometheus.GaugeValue,
		func(f *MoneyFigures) float64 { return oneIf(f.LedgerPaused || f.Ledger.Failing) })
	m.registry.MustRegister(c)
}

func (c *moneyCollector) add(name, help string, kind prometheus.ValueType, value func(*MoneyFigures) float64) {
	c.metrics = append(c.metrics, moneyMetric{prometheus.NewDesc(name, help, nil, nil), kind, value})
}

// Describe implements prometheus.Collector.
func (c *moneyCollector) Describe(descs chan<- *prometheus.Desc) {
	for i := range c.metrics {
		descs <- c.metrics[i].desc
	}
}

// Collect implements prometheus.Collector.
func (c *moneyCollector) Collect(metrics chan<- prometheus.Metric) {
	figures := c.figures()
	for i := range c.metrics {
		m := &c.metrics[i]
		metrics <- prometheus.MustNewConstMetric(m.desc, m.kind, m.value(&figures))
	}
}

// PolicyOut notes whether a policy that kept failing at a hook is left out there for a while.
func (m *Metrics) PolicyOut(policy string, hook abi.Hook, out bool) {
	m.policiesOut.WithLabelValues(policy, hook.String()).Set(oneIf(out))
}

// Add counts for a policy, under a name of its own. How many names one has is bounded by who calls this.
func (m *Metrics) Add(policy, name string, value int64) {
	m.policyCounts.WithLabelValues(policy, name).Add(float64(value))
}

func oneIf(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

var _ prometheus.Collector = (*moneyCollector)(nil)
