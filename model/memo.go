package model

import (
	"sync"

	"github.com/isomerfs/isomerfs/fault"
)

// Memo keeps what views find out about a model beyond its tensors, so that each precision does not find it anew. A nil
// Memo keeps nothing.
type Memo struct {
	mu   sync.Mutex
	kept map[any]*kept // guarded by mu
}

type kept struct {
	mu    sync.Mutex
	known bool // guarded by mu, as are those below
	value any
	err   error
}

// Get is what make makes, made once for a key: a value of a type of the caller's own. It is made by one caller at a
// time, which may get others for it. A failure is kept too, but one that passes: of a disk, of a file that changed.
func (m *Memo) Get(key any, make func() (any, error)) (any, error) {
	if m == nil {
		return make()
	}
	k := m.at(key)
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.known {
		return k.value, k.err
	}
	value, err := make()
	if err != nil {
		switch fault.KindOf(err) {
		case fault.Unknown, fault.IO, fault.Changed, fault.Timeout, fault.Denied:
			return value, err
		}
	}
	k.known, k.value, k.err = true, value, err
	return value, err
}

func (m *Memo) at(key any) *kept {
	m.mu.Lock()
	defer m.mu.Unlock()
	k := m.kept[key]
	if k == nil {
		if m.kept == nil {
			m.kept = map[any]*kept{}
		}
		k = &kept{}
		m.kept[key] = k
	}
	return k
}
