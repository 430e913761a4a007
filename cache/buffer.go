package cache

import (
	"math/bits"
	"sync"
)

// buffer is memory for the result of one computation.
type buffer struct {
	b     []byte
	whole []byte // all that was allocated
	class int
}

// buffers lends buffers. What lies ready is kept from use to use: fresh pages cost as much as a copy.
type buffers struct {
	mu    sync.Mutex // guards the rest
	ready [classes][]*buffer
	bytes int64 // in ready
	limit int64 // of bytes
}

const (
	smallest = 16 // a buffer has at least 64 KiB
	classes  = 9  // and up to 16 MiB there is one of each power of two
)

// get lends n bytes of undefined content.
func (p *buffers) get(n int64) *buffer {
	class := max(0, bits.Len64(uint64(max(n, 1)-1))-smallest)
	if class >= classes {
		buf := &buffer{class: -1, whole: mapMemory(int(n))}
		buf.b = buf.whole[:n]
		return buf
	}
	p.mu.Lock()
	var buf *buffer
	if last := len(p.ready[class]) - 1; last >= 0 {
		buf = p.ready[class][last]
		p.ready[class] = p.ready[class][:last]
		p.bytes -= int64(len(buf.whole))
	}
	p.mu.Unlock()
	if buf == nil {
		buf = &buffer{class: class, whole: mapMemory(1 << (class + smallest))}
	}
	buf.b = buf.whole[:n]
	return buf
}

// put gives a buffer back. Nobody may use it any more.
func (p *buffers) put(buf *buffer) {
	p.mu.Lock()
	keep := buf.class >= 0 && p.bytes+int64(len(buf.whole)) <= p.limit
	if keep {
		p.ready[buf.class] = append(p.ready[buf.class], buf)
		p.bytes += int64(len(buf.whole))
	}
	p.mu.Unlock()
	if !keep {
		unmapMemory(buf.whole)
		buf.whole, buf.b = nil, nil
	}
}

// trim gives the memory that lies ready back to the system.
func (p *buffers) trim() {
	p.mu.Lock()
	var old []*buffer
	for i := range p.ready {
		old = append(old, p.ready[i]...)
		p.ready[i] = nil
	}
	p.bytes = 0
	p.mu.Unlock()
	for _, buf := range old {
		unmapMemory(buf.whole)
	}
}
