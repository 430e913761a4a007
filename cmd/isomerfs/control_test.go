package main

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/isomerfs/isomerfs/fault"
)

// socketOf makes a mount of this user whose daemon listens, and does with each connection what the test wants.
func socketOf(t *testing.T, serve func(net.Listener)) mount {
	t.Helper()
	dir, err := os.MkdirTemp("", "isocmd") // short enough for a socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	t.Setenv("XDG_RUNTIME_DIR", dir)
	m := mount{point: "/mnt/x", root: "/", source: "/store", device: "0:99999", uid: os.Geteuid()}
	if err := os.Mkdir(filepath.Join(dir, "isomerfs"), 0o700); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("unix", filepath.Join(dir, "isomerfs", socketName(m.device)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go serve(l)
	return m
}

// TestSilentDaemon: a daemon that takes a connection and says nothing is given up after two seconds, and its mount is
// listed with what the mount table knows.
func TestSilentDaemon(t *testing.T) {
	m := socketOf(t, func(l net.Listener) {
		for {
			if _, err := l.Accept(); err != nil {
				return
			}
		}
	})
	began := time.Now()
	_, err := askStatus(context.Background(), m)
	if took := time.Since(began); !errors.Is(err, fault.Timeout) || took > patience+time.Second {
		t.Errorf("%v after %s", err, took)
	}
	text, err := json.Marshal(unanswered(m))
	if err != nil {
		t.Fatal(err)
	}
	for _, part := range []string{`"mountpoint":"/mnt/x"`, `"store":"/store"`, `"pid":null`, `"fills":[]`, `"cache":{"dir":null,`, `"passthrough":{"cache":null,`} {
		if !strings.Contains(string(text), part) {
			t.Errorf("%s lacks %s", text, part)
		}
	}
	if _, err := dial(context.Background(), mount{device: "0:99998", uid: os.Geteuid()}); !errors.Is(err, fault.Timeout) {
		t.Errorf("no daemon at all: %v", err)
	}
}

// TestAsk: items and errors come through; an answer that breaks off is an error, and so is one of another version.
func TestAsk(t *testing.T) {
	s := &server{}
	mux := http.NewServeMux()
	mux.HandleFunc("/good", s.question(true, func(ctx context.Context, path string, item func(any) error) error {
		for i := range 3 {
			if err := item(path + string(rune('a'+i))); err != nil {
				return err
			}
		}
		return nil
	}))
	mux.HandleFunc("/bad", s.question(true, func(context.Context, string, func(any) error) error {
		return fault.In("p", fault.New(fault.Space, "full"))
	}))
	mux.HandleFunc("/mine", s.question(false, func(context.Context, string, func(any) error) error { return nil }))
	mux.HandleFunc("/broken", func(w http.ResponseWriter, r *http.Request) { w.Write([]byte(`{"item":"x"}`)) })
	m := socketOf(t, func(l net.Listener) { http.Serve(l, mux) })
	d, err := dial(context.Background(), m)
	if err != nil {
		t.Fatal(err)
	}
	ask := func(question string) (got string, err error) {
		err = d.ask(context.Background(), question, "é&=/", func(raw json.RawMessage) error {
			var s string
			json.Unmarshal(raw, &s)
			got += s
			return nil
		})
		return got, err
	}
	if got, err := ask("good"); got != "é&=/aé&=/bé&=/c" || err != nil {
		t.Errorf("good: %q, %v", got, err)
	}
	for question, kind := range map[string]fault.Kind{"bad": fault.Space, "mine": fault.Denied, "broken": fault.IO, "unheard-of": fault.Unsupported} {
		if _, err := ask(question); fault.KindOf(err) != kind {
			t.Errorf("%s: %v (%v), want %v", question, err, fault.KindOf(err), kind)
		}
	}
}

// TestAllowed: the daemon's user and root may ask everything, others only under allow_other.
func TestAllowed(t *testing.T) {
	me := os.Geteuid()
	for _, c := range []struct {
		peer       any
		allowOther bool
		want       bool
	}{{me, false, true}, {0, false, true}, {me + 1, false, false}, {me + 1, true, true}, {nil, true, false}, {nil, false, false}} {
		s := &server{mounting: mounting{settings: &settings{allowOther: c.allowOther}}}
		r := httptest.NewRequest("GET", "/ls", nil)
		r = r.WithContext(context.WithValue(r.Context(), peerKey{}, c.peer))
		if got := s.allowed(r); got != c.want {
			t.Errorf("peer %v, allow_other %v: %v", c.peer, c.allowOther, got)
		}
	}
}

// TestPrivateDir: a folder for sockets that somebody else made, or can write, is not used.
func TestPrivateDir(t *testing.T) {
	dir := t.TempDir()
	fresh := filepath.Join(dir, "fresh")
	for range 2 {
		if err := privateDir(fresh); err != nil {
			t.Error(err)
		}
	}
	open := filepath.Join(dir, "open")
	os.Mkdir(open, 0o700)
	os.Chmod(open, 0o777)
	file := filepath.Join(dir, "file")
	os.WriteFile(file, nil, 0o600)
	link := filepath.Join(dir, "link")
	os.Symlink(fresh, link)
	for _, path := range []string{open, file, link} {
		if err := privateDir(path); !errors.Is(err, fault.Denied) {
			t.Errorf("%s: %v", filepath.Base(path), err)
		}
	}
}
