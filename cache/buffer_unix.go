//go:build unix && !race

package cache

import "golang.org/x/sys/unix"

// mapMemory allocates outside the garbage collector's heap: a few large buffers would make the collector let twice
// their size lie about.
func mapMemory(n int) []byte {
	b, err := unix.Mmap(-1, 0, n, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE)
	if err != nil {
		return make([]byte, n)
	}
	return b
}

// unmapMemory fails for memory of the heap, which the collector takes back.
func unmapMemory(b []byte) { _ = unix.Munmap(b) }
