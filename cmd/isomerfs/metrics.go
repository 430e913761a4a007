package main

import (
	"bytes"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/common/expfmt"
)

// metrics is .isomerfs/metrics: what the daemon counts, in the text format that Prometheus reads.
func (s *server) metrics() ([]byte, error) {
	registry := prometheus.NewRegistry()
	for _, c := range []prometheus.Collector{sample{s}, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{})} {
		if err := registry.Register(c); err != nil {
			return nil, err
		}
	}
	families, err := registry.Gather()
	if err != nil {
		return nil, err
	}
	var text bytes.Buffer
	for _, f := range families {
		if _, err := expfmt.MetricFamilyToText(&text, f); err != nil {
			return nil, err
		}
	}
	return text.Bytes(), nil
}

// sample collects the counters of a mount, which live where they are counted.
type sample struct{ *server }

// Describe gives nothing: which metrics there are is known when they are collected.
func (s sample) Describe(chan<- *prometheus.Desc) {}

// Collect sends each metric with its present value.
func (s sample) Collect(to chan<- prometheus.Metric) {
	send := func(kind prometheus.ValueType, name, help string, value float64, labels ...string) {
		var names, values []string
		for i := 0; i+1 < len(labels); i += 2 {
			names, values = append(names, labels[i]), append(values, labels[i+1])
		}
		to <- prometheus.MustNewConstMetric(prometheus.NewDesc("isomerfs_"+name, help, names, nil), kind, value, values...)
	}
	gauge := func(name, help string, value float64, labels ...string) {
		send(prometheus.GaugeValue, name, help, value, labels...)
	}
	counter := func(name, help string, value float64, labels ...string) {
		send(prometheus.CounterValue, name, help, value, labels...)
	}
	each := func(name, help, label string, values map[string]uint64) {
		for key, n := range values {
			counter(name, help, float64(n), label, key)
		}
	}

	b := builtVersion()
	gauge("build_info", "The running version; the value is 1.", 1, "version", b.Version, "commit", b.Commit, "go", b.Go)
	gauge("start_time_seconds", "When the mount began, in seconds since 1970.", float64(s.started.UnixMilli())/1e3)

	used, fills := s.cache.Usage(), s.cache.Fills()
	var left int64
	for _, f := range fills {
		left += f.Size - f.Done
	}
	gauge("cache_used_bytes", "Disk space of the cache.", float64(used.Used))
	gauge("cache_limit_bytes", "How much the cache may take.", float64(used.Limit))
	gauge("cache_files", "Complete files in the cache.", float64(used.Files))
	gauge("fills", "Files being converted.", float64(len(fills)))
	gauge("fills_left_bytes", "What is left of the files being converted.", float64(left))
	did := s.cache.Stats()
	counter("cache_hits_total", "Reads that began no computation.", float64(did.Hits))
	counter("cache_misses_total", "Reads that began one.", float64(did.Misses))
	counter("computed_bytes_total", "Bytes computed.", float64(did.Computed))
	counter("filled_bytes_total", "Bytes of them written to the cache.", float64(did.Filled))
	counter("sealed_total", "Files completed in the cache.", float64(did.Sealed))
	counter("evictions_total", "Files removed from the cache to make room.", float64(did.Evictions))
	counter("failures_total", "Computations that ended with an error.", float64(did.Failures))

	kernel := s.fs.Load()
	if kernel == nil {
		return
	}
	p, stats := kernel.Passthrough(), kernel.Stats()
	for of, on := range map[string]bool{"cache": p.Cache, "store": p.Store} {
		value := 0.0
		if on {
			value = 1
		}
		gauge("passthrough", "Whether the kernel reads complete files by itself.", value, "of", of)
	}
	each("requests_total", "Requests of the kernel.", "op", stats.Ops)
	each("opens_total", "Opened files, by who answers their reads.", "mode", stats.Opens)
	each("errors_total", "Requests refused.", "errno", stats.Errors)
	counter("read_bytes_total", "Bytes that the daemon answered; passthrough is not seen.", float64(stats.BytesRead))
	counter("retired_total", "Inodes that a complete file moved away from.", float64(stats.Retired))
	counter("notifications_total", "Directory entries the kernel was told to forget.", float64(stats.Notifications))
	counter("notifications_dropped_total", "Those it could not be told of.", float64(stats.Dropped))
	gauge("inodes", "Inodes that the kernel holds.", float64(stats.Inodes))
	gauge("handles", "Open files and folders.", float64(stats.Handles))
}
