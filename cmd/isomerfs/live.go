package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"time"
)

// live are the documents below .isomerfs. They are made while the kernel waits: nothing here touches the mount.
func (s *server) live() map[string]func() ([]byte, error) {
	return map[string]func() ([]byte, error){
		"status.json": func() ([]byte, error) {
			text, err := json.MarshalIndent(s.status().mounted, "", "  ")
			return append(text, '\n'), err
		},
		"builds":  s.builds,
		"metrics": s.metrics,
		"log":     func() ([]byte, error) { return s.log.recent.text(), nil },
		"version": func() ([]byte, error) { return []byte(builtVersion().String() + "\n"), nil },
	}
}

// status is what the daemon says of itself.
func (s *server) status() serving {
	used := s.cache.Usage()
	answer := serving{
		mounted: mounted{
			Mountpoint: s.at.point, Store: s.at.store, PID: given(os.Getpid()), Fills: []filling{},
			Cache:   usage{Dir: given(used.Dir), Used: given(used.Used), Limit: given(used.Limit), Files: given(used.Files)},
			Version: given(builtVersion().Version), Since: given(s.started.Format(time.RFC3339)), Log: known(s.log.path),
		},
		Follow: list(s.follow), Others: s.allowOther,
	}
	for _, f := range s.cache.Fills() {
		answer.Fills = append(answer.Fills, filling{f.Path, f.Done, f.Size})
	}
	if kernel := s.fs.Load(); kernel != nil {
		p := kernel.Passthrough()
		answer.Passthrough = passthrough{given(p.Cache), given(p.Store), known(p.Reason)}
	}
	return answer
}

// builds is a line for each conversion under way.
func (s *server) builds() ([]byte, error) {
	var b bytes.Buffer
	for _, f := range s.cache.Fills() {
		part := 100.0
		if f.Size > 0 {
			part = 100 * float64(f.Done) / float64(f.Size)
		}
		fmt.Fprintf(&b, "%s\t%d\t%d\t%.1f %%\n", printable(f.Path), f.Done, f.Size, part)
	}
	if b.Len() == 0 {
		b.WriteString("nothing is being converted\n")
	}
	return b.Bytes(), nil
}
