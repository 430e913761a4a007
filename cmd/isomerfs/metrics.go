package main

import (
	"bytes"
	"fmt"
	"maps"
	"runtime"
	"slices"
	"strconv"
	"time"
)

// exposition writes metrics in the text format that Prometheus reads (version 0.0.4): for each metric a line of help, a
// line with its type, and a sample for each set of labels.
type exposition struct{ bytes.Buffer }

func (e *exposition) metric(name, kind, help string) {
	fmt.Fprintf(e, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, kind)
}

func (e *exposition) sample(name string, value float64, labels ...string) {
	e.WriteString(name)
	for i := 0; i+1 < len(labels); i += 2 {
		before := ","
		if i == 0 {
			before = "{"
		}
		fmt.Fprintf(e, "%s%s=%s", before, labels[i], quoteLabel(labels[i+1]))
	}
	if len(labels) > 0 {
		e.WriteByte('}')
	}
	e.WriteByte(' ')
	e.WriteString(strconv.FormatFloat(value, 'g', -1, 64))
	e.WriteByte('\n')
}

// quoteLabel is a label's value: backslashes, quotes and line feeds are escaped, all else stays.
func quoteLabel(text string) string {
	var b bytes.Buffer
	b.WriteByte('"')
	for i := range len(text) {
		switch c := text[i]; c {
		case '\\', '"':
			b.WriteByte('\\')
			b.WriteByte(c)
		case '\n':
			b.WriteString(`\n`)
		default:
			b.WriteByte(c)
		}
	}
	b.WriteByte('"')
	return b.String()
}

func (e *exposition) one(name, kind, help string, value float64) {
	e.metric(name, kind, help)
	e.sample(name, value)
}

func (e *exposition) each(name, help, label string, values map[string]uint64) {
	e.metric(name, "counter", help)
	for _, key := range slices.Sorted(maps.Keys(values)) {
		e.sample(name, float64(values[key]), label, key)
	}
}

// metrics is .isomerfs/metrics.
func (s *server) metrics() ([]byte, error) {
	var e exposition
	b := builtVersion()
	e.metric("isomerfs_build_info", "gauge", "The running version; the value is 1.")
	e.sample("isomerfs_build_info", 1, "version", b.Version, "commit", b.Commit, "go", b.Go)
	e.one("isomerfs_start_time_seconds", "gauge", "When the mount began, in seconds since 1970.", float64(s.started.UnixMilli())/1e3)

	used, fills := s.cache.Usage(), s.cache.Fills()
	var left int64
	for _, f := range fills {
		left += f.Size - f.Done
	}
	e.one("isomerfs_cache_used_bytes", "gauge", "Disk space of the cache.", float64(used.Used))
	e.one("isomerfs_cache_limit_bytes", "gauge", "How much the cache may take.", float64(used.Limit))
	e.one("isomerfs_cache_files", "gauge", "Complete files in the cache.", float64(used.Files))
	did := s.cache.Stats()
	e.one("isomerfs_cache_hits_total", "counter", "Reads that began no computation.", float64(did.Hits))
	e.one("isomerfs_cache_misses_total", "counter", "Reads that began one.", float64(did.Misses))
	e.one("isomerfs_computed_bytes_total", "counter", "Bytes computed.", float64(did.Computed))
	e.one("isomerfs_filled_bytes_total", "counter", "Bytes of them written to the cache.", float64(did.Filled))
	e.one("isomerfs_sealed_total", "counter", "Files completed in the cache.", float64(did.Sealed))
	e.one("isomerfs_evictions_total", "counter", "Files removed from the cache to make room.", float64(did.Evictions))
	e.one("isomerfs_failures_total", "counter", "Computations that ended with an error.", float64(did.Failures))
	e.one("isomerfs_fills", "gauge", "Files being converted.", float64(len(fills)))
	e.one("isomerfs_fills_left_bytes", "gauge", "What is left of the files being converted.", float64(left))

	if kernel := s.fs.Load(); kernel != nil {
		p, stats := kernel.Passthrough(), kernel.Stats()
		e.metric("isomerfs_passthrough", "gauge", "Whether the kernel reads complete files by itself.")
		e.sample("isomerfs_passthrough", float64(oneIf(p.Cache)), "of", "cache")
		e.sample("isomerfs_passthrough", float64(oneIf(p.Store)), "of", "store")
		e.each("isomerfs_requests_total", "Requests of the kernel.", "op", stats.Ops)
		e.each("isomerfs_opens_total", "Opened files, by who answers their reads.", "mode", stats.Opens)
		e.each("isomerfs_errors_total", "Requests refused.", "errno", stats.Errors)
		e.one("isomerfs_read_bytes_total", "counter", "Bytes that the daemon answered; passthrough is not seen.", float64(stats.BytesRead))
		e.one("isomerfs_retired_total", "counter", "Inodes that a complete file moved away from.", float64(stats.Retired))
		e.one("isomerfs_notifications_total", "counter", "Directory entries the kernel was told to forget.", float64(stats.Notifications))
		e.one("isomerfs_notifications_dropped_total", "counter", "Those it could not be told of.", float64(stats.Dropped))
		e.one("isomerfs_inodes", "gauge", "Inodes that the kernel holds.", float64(stats.Inodes))
		e.one("isomerfs_handles", "gauge", "Open files and folders.", float64(stats.Handles))
	}

	var mem runtime.MemStats
	runtime.ReadMemStats(&mem)
	e.one("go_goroutines", "gauge", "Goroutines.", float64(runtime.NumGoroutine()))
	e.one("go_memstats_heap_inuse_bytes", "gauge", "Heap in use.", float64(mem.HeapInuse))
	e.one("go_memstats_sys_bytes", "gauge", "Memory taken from the system.", float64(mem.Sys))
	e.one("go_gc_cycles_total", "counter", "Garbage collections.", float64(mem.NumGC))
	e.one("isomerfs_uptime_seconds", "gauge", "How long the mount has been there.", time.Since(s.started).Seconds())
	return e.Bytes(), nil
}

func oneIf(b bool) int {
	if b {
		return 1
	}
	return 0
}
