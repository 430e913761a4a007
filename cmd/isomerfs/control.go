package main

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/isomerfs/isomerfs/fault"
	"github.com/isomerfs/isomerfs/layout"
	"github.com/isomerfs/isomerfs/tree"
)

// A daemon answers commands over a Unix socket: HTTP GET /QUESTION?path=PATH, answered by lines of JSON (see reply),
// the last of which says how it ended. Questions:
//
//	status  how the daemon is: one serving
//	ls      the files at and below PATH: a listed each
//	why     why PATH is absent or failed: one reasoned
//	path    pin PATH, and say where its bytes lie: one realFile; unpin lets it go
//	warm    make PATH and all below it complete: a filling now and then, until it is
//
// Who may ask: the daemon's user and root everything; others what they could see in the mount themselves, if
// allow_other lets them, and status in any case.

// answer begins to answer commands. stop ends that.
func (s *server) answer() (stop func(), err error) {
	device, err := deviceOf(s.at.point)
	if err != nil {
		return nil, err
	}
	listener, path, err := listen(socketName(device))
	if err != nil {
		return nil, err
	}
	server := &http.Server{
		Handler:           s.questions(),
		ReadHeaderTimeout: patience,
		ConnContext: func(ctx context.Context, c net.Conn) context.Context {
			return context.WithValue(ctx, peerKey{}, peerOf(c))
		},
		ErrorLog: slog.NewLogLogger(s.log.Handler(), slog.LevelDebug),
	}
	go server.Serve(listener)
	return func() {
		os.Remove(path)
		server.Close()
	}, nil
}

// listen opens a socket in the first folder that can be had.
func listen(name string) (net.Listener, string, error) {
	var first error
	for _, dir := range socketDirs(os.Geteuid()) {
		path := filepath.Join(dir, name)
		err := privateDir(dir)
		if err == nil {
			os.Remove(path) // of a daemon that was killed: the device number is ours now
			var l net.Listener
			if l, err = net.Listen("unix", path); err == nil {
				return l, path, os.Chmod(path, 0o666)
			}
		}
		if first == nil {
			first = placed(dir, err)
		}
	}
	return nil, "", first
}

// privateDir makes a folder for sockets, or refuses one that is not ours. Root's may be entered by all: who asks is
// checked at the socket.
func privateDir(dir string) error {
	perm := os.FileMode(0o700)
	if os.Geteuid() == 0 {
		perm = 0o755
	}
	err := os.Mkdir(dir, perm)
	if !errors.Is(err, os.ErrExist) {
		return err
	}
	info, err := os.Lstat(dir)
	if err != nil {
		return err
	}
	if owner, ok := ownerOfFile(info); !info.IsDir() || ok && owner != os.Geteuid() {
		return fault.New(fault.Denied, "is not a folder of ours")
	}
	if info.Mode().Perm()&0o022 != 0 {
		return fault.New(fault.Denied, "may be written by others")
	}
	return nil
}

type peerKey struct{}

// allowed reports whether whoever asks may.
func (s *server) allowed(r *http.Request) bool {
	uid, ok := r.Context().Value(peerKey{}).(int)
	return ok && (uid == 0 || uid == os.Geteuid() || s.allowOther)
}

func (s *server) questions() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /status", s.question(true, func(ctx context.Context, _ string, item func(any) error) error {
		return item(s.status())
	}))
	mux.HandleFunc("GET /ls", s.question(false, func(ctx context.Context, path string, item func(any) error) error {
		return s.ls(ctx, path, func(l listed) error { return item(l) })
	}))
	mux.HandleFunc("GET /why", s.question(false, func(ctx context.Context, path string, item func(any) error) error {
		answer, err := s.why(ctx, path)
		if err != nil {
			return err
		}
		return item(answer)
	}))
	for question, unpin := range map[string]bool{"path": false, "unpin": true} {
		mux.HandleFunc("GET /"+question, s.question(false, func(ctx context.Context, path string, item func(any) error) error {
			file, err := s.realFile(ctx, path, unpin)
			if err != nil {
				return err
			}
			return item(file)
		}))
	}
	mux.HandleFunc("GET /warm", s.question(false, s.warm))
	return mux
}

// question is the handler of one question: it streams what answer gives.
func (s *server) question(anybody bool, answer func(ctx context.Context, path string, item func(any) error) error) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if !anybody && !s.allowed(r) {
			http.Error(w, "not yours", http.StatusForbidden)
			return
		}
		w.Header().Set("Content-Type", "application/x-ndjson")
		w.WriteHeader(http.StatusOK)
		flush := http.NewResponseController(w).Flush
		flush() // that somebody answers is known at once, whatever the answer takes
		lines := json.NewEncoder(w)
		var mu sync.Mutex
		last := time.Now()
		err := answer(r.Context(), r.URL.Query().Get("path"), func(v any) error {
			raw, err := json.Marshal(v)
			if err != nil {
				return err
			}
			mu.Lock()
			defer mu.Unlock()
			if err := lines.Encode(reply{Item: raw}); err != nil {
				return err
			}
			if now := time.Now(); now.Sub(last) > 50*time.Millisecond {
				last = now
				return flush()
			}
			return nil
		})
		end := reply{End: true}
		if err != nil {
			end = reply{Err: newRefusal(err)}
		}
		lines.Encode(end)
	}
}

// warmAtOnce is how many files of one question are filled at a time: a large one uses all processors by itself, small
// ones wait for their disks.
const warmAtOnce = 4

// warm makes everything at and below a path complete.
func (s *server) warm(ctx context.Context, path string, item func(any) error) error {
	node, err := s.tree.Resolve(ctx, path)
	if err != nil {
		return s.because(ctx, path, err)
	}
	type file struct {
		path string
		file *layout.File
	}
	var files []file
	var total, done atomic.Int64
	err = s.tree.Walk(ctx, node, func(n *tree.Node) error {
		if n.Kind == tree.Regular && n.File.Layout != nil {
			files = append(files, file{n.Path, n.File.Layout})
			total.Add(n.File.Layout.Size())
		}
		return nil
	})
	if err != nil {
		return err
	}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(warmAtOnce)
	for _, f := range files {
		if ctx.Err() != nil {
			break
		}
		group.Go(func() error {
			entry := s.cache.Get(f.file, f.path)
			defer entry.Release()
			told := make(chan struct{})
			ended := make(chan struct{})
			go func() { // tell of progress while it is being filled
				defer close(told)
				ticks := time.NewTicker(200 * time.Millisecond)
				defer ticks.Stop()
				for {
					select {
					case <-ended:
						return
					case <-ticks.C:
						part, _ := entry.Progress()
						item(filling{path, done.Load() + part, total.Load()})
					}
				}
			}()
			err := entry.Warm(ctx)
			close(ended)
			<-told
			if err != nil {
				return fault.In(f.path, err)
			}
			done.Add(f.file.Size())
			return nil
		})
	}
	return group.Wait()
}

// because makes of the error that a path leads nowhere the reason why.
func (s *answers) because(ctx context.Context, path string, err error) error {
	if !errors.Is(err, fault.Absent) {
		return err
	}
	answer, failed := s.why(ctx, path)
	if failed != nil || answer.Available || answer.Reason == nil {
		return err
	}
	reason := fault.New(fault.Absent, "%s", *answer.Reason)
	if answer.Remedy != nil {
		reason.Remedy = *answer.Remedy
	}
	return fault.In(path, reason)
}
