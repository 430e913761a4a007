package model

import (
	"sync"

	"github.com/isomerfs/isomerfs/fault"
)

// Memo keeps what views find out about a model beyond its tensors, so that each precision does not find it anew. A nil
// Memo keeps nothing.
type Memo struct {
	mu   sync.Mutex
	kept map[any]kept // guarded by mu
}

type kept struct {
	value any
	err   error
}

// Get is what make makes, made once for a key: a value of a type of the caller's own. It is made by one caller at a
// time. A failure is kept too, but one that passes: of a disk, of a file that changed.
func (m *Memo) Get(key any, make func() (any, error)) (any, error) {
	if m == nil {
		return make()
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if k, ok := m.kept[key]; ok {
		return k.value, k.err
	}
	value, err := make()
	switch fault.KindOf(err) {
	case fault.Unknown, fault.IO, fault.Changed, fault.Timeout, fault.Denied:
		if err != nil {
			return value, err
		}
	}
	if m.kept == nil {
		m.kept = map[any]kept{}
	}
	m.kept[key] = kept{value, err}
	return value, err
}
