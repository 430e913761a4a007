package layout

import (
	"math/bits"
	"sync"
)

// tile is the size of the pieces that evaluation works in: large enough that a system call is nothing beside its copy,
// small enough that a piece and its result stay in a core's second-level cache on most machines.
const tile = 1 << 20

// buffer is a piece of scratch memory, lent by getBuffer and given back by put.
type buffer struct {
	b     []byte
	class int
}

// pools[i] lends buffers of 1<<i bytes.
var pools [27]sync.Pool

// getBuffer lends n bytes of undefined content. Beyond 64 MiB they are the garbage collector's.
func getBuffer(n int64) *buffer {
	class := max(12, bits.Len64(uint64(max(n, 1)-1)))
	if class >= len(pools) {
		return &buffer{b: make([]byte, n), class: -1}
	}
	if v := pools[class].Get(); v != nil {
		buf := v.(*buffer)
		buf.b = buf.b[:n]
		return buf
	}
	return &buffer{b: make([]byte, 1<<class)[:n], class: class}
}

func (buf *buffer) put() {
	if buf.class >= 0 {
		pools[buf.class].Put(buf)
	}
}
