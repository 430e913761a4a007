package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/isomerfs/isomerfs/fault"
)

// patience is how long a daemon may take to begin an answer.
const patience = 2 * time.Second

// socketDirs are the folders in which the daemons of a user keep their sockets, the best first.
func socketDirs(uid int) []string {
	var dirs []string
	if uid == 0 {
		dirs = append(dirs, "/run/isomerfs")
	}
	if dir := os.Getenv("XDG_RUNTIME_DIR"); dir != "" && filepath.IsAbs(dir) {
		dirs = append(dirs, filepath.Join(dir, "isomerfs"))
	}
	id := strconv.Itoa(uid)
	return append(dirs, "/run/user/"+id+"/isomerfs", filepath.Join(os.TempDir(), "isomerfs-"+id))
}

// socketName is the file name of a mount's socket. The device number is the same in every mount namespace of the host.
func socketName(device string) string {
	return "mount-" + string(bytes.ReplaceAll([]byte(device), []byte(":"), []byte("-"))) + ".sock"
}

// daemon is the process that serves a mount, seen from a command.
type daemonClient struct {
	mount  mount
	client *http.Client
}

// dial finds the daemon of a mount. It fails as fault.Timeout when none answers: it hangs, it has died, or it belongs to
// a user whose sockets are not for us.
func dial(ctx context.Context, m mount) (*daemonClient, error) {
	var last error
	for _, dir := range socketDirs(m.uid) {
		path := filepath.Join(dir, socketName(m.device))
		info, err := os.Lstat(path)
		if err != nil || info.Mode()&os.ModeSocket == 0 {
			continue
		}
		if owner, ok := ownerOfFile(info); ok && owner != m.uid && owner != 0 { // somebody else's make-believe
			continue
		}
		dialer := net.Dialer{Timeout: patience}
		conn, err := dialer.DialContext(ctx, "unix", path)
		if err != nil {
			last = err
			continue
		}
		conn.Close()
		return &daemonClient{m, &http.Client{Transport: &http.Transport{
			DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
				return dialer.DialContext(ctx, "unix", path)
			},
			ResponseHeaderTimeout: patience,
			DisableKeepAlives:     true,
		}}}, nil
	}
	return nil, silent(m, last)
}

// silent is the fault of a daemon that does not answer us.
func silent(m mount, err error) error {
	if errors.Is(err, os.ErrPermission) {
		return fault.In(m.point, fault.New(fault.Denied, "it is the mount of user %d, whose daemon answers nobody else", m.uid))
	}
	f := fault.New(fault.Timeout, "its daemon does not answer").Remedied("umount -l %s lifts a mount whose daemon has died", m.point)
	f.Err = err
	return fault.In(m.point, f)
}

// reply is one line of a daemon's answer: an item, or how it ended.
type reply struct {
	Item json.RawMessage `json:"item,omitempty"`
	End  bool            `json:"end,omitempty"`
	Err  *refusal        `json:"error,omitempty"`
}

// ask puts a question and calls item with each part of the answer.
func (d *daemonClient) ask(ctx context.Context, question, path string, item func(json.RawMessage) error) error {
	address := url.URL{Scheme: "http", Host: "daemon", Path: "/" + question, RawQuery: url.Values{"path": {path}}.Encode()}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address.String(), nil)
	if err != nil {
		return err
	}
	response, err := d.client.Do(request)
	if err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return silent(d.mount, err)
	}
	defer response.Body.Close()
	if response.StatusCode == http.StatusForbidden {
		return silent(d.mount, os.ErrPermission)
	}
	if response.StatusCode != http.StatusOK {
		return fault.In(d.mount.point, fault.New(fault.Unsupported, "its daemon answers %q with %s: is it of another version?", question, response.Status))
	}
	lines := json.NewDecoder(response.Body)
	for {
		var r reply
		if err := lines.Decode(&r); err != nil {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
				return fault.In(d.mount.point, fault.New(fault.IO, "its daemon ended in the middle of an answer"))
			}
			return fault.In(d.mount.point, fmt.Errorf("its daemon: %w", err))
		}
		switch {
		case r.Err != nil:
			return r.Err.err()
		case r.End:
			return nil
		}
		if err := item(r.Item); err != nil {
			return err
		}
	}
}

// told asks for an answer of one item.
func told[T any](ctx context.Context, d *daemonClient, question, path string) (answer T, err error) {
	err = d.ask(ctx, question, path, func(raw json.RawMessage) error { return json.Unmarshal(raw, &answer) })
	return answer, err
}

// serving is what a daemon says of its own: `isomerfs status`, and what another process needs to read the same store.
type serving struct {
	mounted
	Follow []string `json:"follow"`
	Others bool     `json:"others"` // allow_other: whoever asks may ask everything
}

// status asks a daemon how it is, within patience.
func (d *daemonClient) status(ctx context.Context) (serving, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	s, err := told[serving](ctx, d, "status", "")
	if errors.Is(err, context.DeadlineExceeded) {
		err = silent(d.mount, err)
	}
	return s, err
}
