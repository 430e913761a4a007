package store

import (
	"io"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/isomerfs/isomerfs/fault"
)

// A Hugging Face hub cache keeps each repository in a folder of its own:
//
//	models--org--name/
//		refs/main                    the commit that a branch or tag leads to, as text
//		snapshots/COMMIT/FILE        a link to ../../blobs/HASH
//		blobs/HASH                   SHA-256 of a large file, git's SHA-1 of a small one
//		blobs/HASH.incomplete        a download under way
//		.no_exist/  trees/           what a repository has not; listings of the hub
//	datasets--org--name/  spaces--…  no models
//	.locks/
//	blobs/                           shared by repositories, in newer caches
//
// Here it is a model org/name with a version for each snapshot and an alias for each ref. It is described in
// https://huggingface.co/docs/huggingface_hub/guides/manage-cache.

const repositoryPrefix = "models--"

// shortCommit is the number of a commit's digits in a version's name. Twelve are enough for any repository, and the
// whole hash finds them (Match).
const shortCommit = 12

// repository takes the name of a repository's folder apart.
func repository(folder string) (org, name string, ok bool) {
	id, ok := strings.CutPrefix(folder, repositoryPrefix)
	if !ok || id == "" {
		return "", "", false
	}
	if org, name, ok := strings.Cut(id, "--"); ok && org != "" && name != "" {
		return org, name, shownFolder(org) && shownFolder(name)
	}
	return "", id, shownFolder(id)
}

// repositoryFolder is the name of a model's folder in a hub cache.
func repositoryFolder(org, name string) string {
	if org == "" {
		return repositoryPrefix + name
	}
	return repositoryPrefix + org + "--" + name
}

// isRepository reports whether the entries are those of a repository's folder.
func isRepository(entries []entry) bool {
	var snapshots, more bool
	for _, e := range entries {
		if e.kind == folderEntry {
			snapshots = snapshots || e.name == "snapshots"
			more = more || e.name == "blobs" || e.name == "refs"
		}
	}
	return snapshots && more
}

// repositoryOfSnapshot is the repository's folder when dir is one of its snapshots, else "".
func repositoryOfSnapshot(dir string) string {
	parent := filepath.Dir(dir)
	repo := filepath.Dir(parent)
	if filepath.Base(parent) != "snapshots" {
		return ""
	}
	if _, _, ok := repository(filepath.Base(repo)); !ok {
		return ""
	}
	return repo
}

// snapshotPlace is the model of which the store's root is one snapshot.
func (s *directory) snapshotPlace(repo string) place {
	org, name, _ := repository(filepath.Base(repo))
	return place{
		path: strings.TrimPrefix(org+"/"+name, "/"), kind: single, dir: s.real,
		version: short(filepath.Base(s.real)), repo: repo,
	}
}

var wholeCommit = regexp.MustCompile(`^[0-9a-f]{40}$`)

// short abbreviates a commit.
func short(commit string) string {
	if wholeCommit.MatchString(commit) {
		return commit[:shortCommit]
	}
	return commit
}

// snapshots lists a repository: versions in the order in which they were downloaded, the one that main leads to last.
// refs are read, for they are files with a commit's hash in them.
func (s *directory) snapshots(p place) (model, error) {
	folder := filepath.Join(p.dir, "snapshots")
	entries, err := readFolder(folder)
	if err != nil {
		return model{}, systemFault("", err, fault.Absent)
	}
	m := model{folders: []string{folder, filepath.Join(p.dir, "blobs")}}
	names, times := map[string]string{}, map[string]int64{}
	for _, e := range entries {
		if e.kind != folderEntry || !shownFolder(e.name) {
			continue
		}
		st, err := lstat(filepath.Join(folder, e.name))
		if err != nil {
			continue
		}
		name := short(e.name)
		if slices.ContainsFunc(m.candidates, func(c candidate) bool { return c.name == name }) {
			name = e.name // two commits with the same first digits
		}
		names[e.name], times[name] = name, st.mtime
		m.candidates = append(m.candidates, candidate{name: name, dir: filepath.Join(folder, e.name), repo: p.dir})
	}
	refs := filepath.Join(p.dir, "refs")
	main := ""
	if entries, err := readFolder(refs); err == nil {
		m.folders = append(m.folders, refs)
		for _, e := range entries {
			if e.kind != fileEntry || !shownFolder(e.name) {
				continue
			}
			m.depends = append(m.depends, filepath.Join(refs, e.name))
			commit, err := readRef(filepath.Join(refs, e.name))
			if target, ok := names[commit]; err == nil && ok {
				m.aliases = append(m.aliases, Alias{e.name, target})
				if e.name == "main" {
					main = target
				}
			}
		}
	}
	slices.SortFunc(m.candidates, func(a, b candidate) int {
		switch {
		case a.name == b.name:
			return 0
		case times[a.name] < times[b.name]:
			return -1
		case times[a.name] > times[b.name]:
			return 1
		}
		return strings.Compare(a.name, b.name)
	})
	if n := len(m.candidates); n > 0 {
		m.candidates[n-1].filling = true
	}
	if i := slices.IndexFunc(m.candidates, func(c candidate) bool { return c.name == main }); i >= 0 {
		c := m.candidates[i]
		m.candidates = append(slices.Delete(m.candidates, i, i+1), c)
	}
	return m, nil
}

// readRef reads the commit that a ref leads to.
func readRef(path string) (string, error) {
	fd, err := open(path, 0)
	if err != nil {
		return "", err
	}
	defer unix.Close(fd)
	if st, err := fstat(fd); err != nil || !st.mode.IsRegular() {
		return "", unix.EINVAL
	}
	var text [256]byte
	n, err := ignoringEINTR(func() (int, error) { return unix.Pread(fd, text[:], 0) })
	if err != nil {
		return "", err
	}
	if n == len(text) {
		return "", io.ErrShortBuffer
	}
	return strings.TrimSpace(string(text[:n])), nil
}

var blobPath = regexp.MustCompile(`^(.+)/blobs/(?:[^/]+/)*([0-9a-f]{40}|[0-9a-f]{64})$`)

// blobName is the name of a hub cache's blob, and its SHA-256 where the name is one; "" for another file.
func (s *directory) blobName(real string) (sha256, name string) {
	m := blobPath.FindStringSubmatch(real)
	if m == nil {
		return "", ""
	}
	if _, _, ok := repository(filepath.Base(m[1])); !ok { // shared blobs: the repositories lie beside them
		if l, err := s.listings.of(m[1]); err != nil || l.hub == nil {
			return "", ""
		}
	}
	if len(m[2]) == 64 {
		return m[2], m[2]
	}
	return "", m[2]
}
