package store

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/isomerfs/isomerfs/fault"
)

// journalName is the file in a model's folder that remembers what its aliases led to: a line of JSON for each move.
const journalName = ".aliases.jsonl"

// Move is one change of an alias. "" stands for no alias.
type Move struct {
	Time  time.Time `json:"time"`
	Alias string    `json:"alias"`
	From  string    `json:"from"` // the versions
	To    string    `json:"to"`
	Undo  bool      `json:"undo,omitempty"` // takes back the move before it
}

// SetAlias makes name an alias of a version of a model: a symlink in the model's folder, put in place of the one before
// it in one step, so that readers see the one or the other. What it led to before is written to the model's journal
// first. version may be any name that leads to a version: 3, 1.2, another alias.
//
// It fails as Absent where there is no such version, and as Denied where the name can be no alias or the folder can't be
// written. A move to where the alias leads already changes nothing.
func SetAlias(ctx context.Context, s Store, model, name, version string) (Move, error) {
	d, err := modelFolder(ctx, s, model, name)
	if err != nil {
		return Move{}, err
	}
	to, ok := leadsTo(d, version)
	if !ok {
		return Move{}, fault.In(model, fault.New(fault.Absent, "it has no version %s", version).Remedied("its versions are %s", strings.Join(d.Versions, ", ")))
	}
	return move(d, func(_ []Move, from string) (Move, error) {
		return Move{Alias: name, From: from, To: to}, nil
	}, name)
}

// UndoAlias takes the latest move of an alias back, and each further call the one before: the alias leads where it did,
// or is no more. Absent: there is nothing to take back.
func UndoAlias(ctx context.Context, s Store, model, name string) (Move, error) {
	d, err := modelFolder(ctx, s, model, name)
	if err != nil {
		return Move{}, err
	}
	return move(d, func(journal []Move, from string) (Move, error) {
		var stack []Move // the moves that stand
		for _, m := range journal {
			switch {
			case m.Alias != name:
			case m.Undo && len(stack) > 0:
				stack = stack[:len(stack)-1]
			case !m.Undo:
				stack = append(stack, m)
			}
		}
		if len(stack) == 0 {
			return Move{}, fault.In(model, fault.New(fault.Absent, "nothing is known of %s before now", name))
		}
		to := stack[len(stack)-1].From
		if to != "" && !slices.Contains(d.Versions, to) {
			return Move{}, fault.In(model, fault.New(fault.Absent, "%s led to %s, which is no more", name, to))
		}
		return Move{Alias: name, From: from, To: to, Undo: true}, nil
	}, name)
}

// modelFolder is a model that may have an alias of that name.
func modelFolder(ctx context.Context, s Store, model, name string) (*Dir, error) {
	d, err := s.Dir(ctx, model)
	if err != nil {
		return nil, err
	}
	deny := func(format string, args ...any) error {
		return fault.In(model, fault.New(fault.Denied, format, args...))
	}
	switch {
	case !d.Model:
		return nil, deny("it is a folder of models, and has no versions")
	case name == "" || strings.ContainsAny(name, "/\x00") || !shownFolder(name) || len(name) > 255:
		return nil, deny("%q can be no alias", name)
	case IsVersion(name):
		return nil, deny("%q is how versions are called, and so can be no alias", name)
	case d.Real == "":
		return nil, deny("it has no folder of its own that an alias could lie in")
	}
	info, err := os.Lstat(filepath.Join(d.Real, name))
	switch {
	case err == nil && info.Mode()&fs.ModeSymlink == 0:
		return nil, deny("%s is there already, and is no alias", name)
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return nil, deny("%w", err)
	}
	for _, v := range d.Versions { // of a loose file or a repository there is no folder of versions
		if info, err := os.Stat(filepath.Join(d.Real, v)); err != nil || !info.IsDir() {
			return nil, fault.In(model, fault.New(fault.Denied, "its versions are no folders, which an alias could lead to").
				Remedied("put each version into a folder: MODEL/v1/"))
		}
	}
	return d, nil
}

// leadsTo is the version that a name of one leads to.
func leadsTo(d *Dir, name string) (string, bool) {
	for _, a := range d.Aliases {
		if a.Name == name {
			return a.Target, true
		}
	}
	if name == "latest" && len(d.Versions) > 0 {
		return d.Versions[len(d.Versions)-1], true
	}
	return Match(d.Versions, name)
}

// move changes an alias as next says, which is told what was moved before and where the alias leads now.
func move(d *Dir, next func(journal []Move, from string) (Move, error), name string) (m Move, err error) {
	defer func() {
		var known *fault.Error
		if err != nil && !errors.As(err, &known) {
			err = fault.In(d.Real, fault.New(fault.Denied, "its aliases can't be changed: %w", err))
		}
	}()
	journal, err := os.OpenFile(filepath.Join(d.Real, journalName), os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o644)
	if err != nil {
		return m, err
	}
	defer journal.Close()
	if err := syscall.Flock(int(journal.Fd()), syscall.LOCK_EX); err != nil { // until it is closed
		return m, err
	}
	link := filepath.Join(d.Real, name)
	from, err := os.Readlink(link)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return m, err
	}
	if m, err = next(readJournal(journal), from); err != nil {
		return m, err
	}
	if m.From == m.To {
		return m, nil
	}
	m.Time = time.Now().UTC().Truncate(time.Second)
	line, err := json.Marshal(m)
	if err != nil {
		return m, err
	}
	if _, err := journal.Write(append(line, '\n')); err != nil {
		return m, err
	}
	if err := journal.Sync(); err != nil {
		return m, err
	}
	if m.To == "" {
		return m, os.Remove(link)
	}
	temporary := filepath.Join(d.Real, fmt.Sprintf(".%s.%d.tmp", name, os.Getpid()))
	if err := os.Symlink(m.To, temporary); err != nil {
		return m, err
	}
	if err := os.Rename(temporary, link); err != nil {
		os.Remove(temporary)
		return m, err
	}
	return m, nil
}

// readJournal is the lines of a journal that can be read: one that was cut off is none.
func readJournal(f *os.File) (moves []Move) {
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		var m Move
		if json.Unmarshal(lines.Bytes(), &m) == nil && m.Alias != "" {
			moves = append(moves, m)
		}
	}
	return moves
}
