package store

import (
	"cmp"
	"regexp"
	"slices"
	"strings"
)

// rank is the kind of a version's name. Where one model has versions of several kinds, the later kind is the newer
// version: v1 stands after checkpoint-500, as the result of a training stands after its checkpoints.
type rank uint8

const (
	rankName   rank = iota // anything else: natural order
	rankCommit             // a commit's hash, which tells no order: natural order too
	rankWord               // step-1000, checkpoint-500, epoch=3: natural order
	rankDate               // 2026-05-01, 20260501-1200
	rankNumber             // 3, v3, 1.2.0, v2.0.0-rc.1
)

// parsed is a version's name taken apart.
type parsed struct {
	rank   rank
	name   string
	digits []string // of a number: its parts without leading zeros; of a date: year, month, day
	phase  int      // of a number: -1 before the release, 0 the release, 1 after it
	rest   string   // what qualifies the phase: rc.1
}

var (
	numberName = regexp.MustCompile(`^([vV]?)(\d+(?:\.\d+)*)(.*)$`)
	attached   = regexp.MustCompile(`(?i)^(?:(?:a|b|c|rc)\d+|(?:alpha|beta|pre|preview|dev|post)\d*)(?:[-+._].*)?$`)
	dateName   = regexp.MustCompile(`^((?:19|20)\d\d)[-_](0[1-9]|1[0-2])(?:[-_](0[1-9]|[12]\d|3[01])(?:[-T_ ](.*))?)?$`)
	stampName  = regexp.MustCompile(`^((?:19|20)\d\d)(0[1-9]|1[0-2])(0[1-9]|[12]\d|3[01])[-T_](\d{4}.*)$`)
	wordName   = regexp.MustCompile(`(?i)^(?:global[-_]?step|steps?|checkpoint|ckpt|epoch|iter|iteration|version|ver|rev|revision|release|build)[-_=.]?v?(\d+)(?:[-_.=].*)?$`)
	commitName = regexp.MustCompile(`^(?:[0-9a-f]{7,12}|[0-9a-f]{40}|[0-9a-f]{64})$`)
	twoDigits  = regexp.MustCompile(`\d.*\d`)
)

// parse takes a name apart.
func parse(name string) parsed {
	p := parsed{name: name}
	if m := dateName.FindStringSubmatch(name); m != nil {
		p.rank, p.digits, p.rest = rankDate, trimZeros(m[1:4]), m[4]
		return p
	}
	if m := stampName.FindStringSubmatch(name); m != nil {
		p.rank, p.digits, p.rest = rankDate, trimZeros(m[1:4]), m[4]
		return p
	}
	if m := numberName.FindStringSubmatch(name); m != nil {
		marked := m[1] != "" || strings.Contains(m[2], ".") // a bare number with a tail is a name: 3-unet, 1_Pooling
		digits := trimZeros(strings.Split(m[2], "."))
		switch tail := m[3]; {
		case tail == "":
			p.rank, p.digits = rankNumber, digits
			return p
		case !marked:
		case attached.MatchString(tail) || strings.ContainsRune("-+._", rune(tail[0])):
			p.rank, p.digits = rankNumber, digits
			p.phase, p.rest = phase(tail)
			return p
		}
	}
	switch {
	case wordName.MatchString(name):
		p.rank = rankWord
	case commitName.MatchString(name) && twoDigits.MatchString(name): // face2face is a name; one hash in eighty has fewer
		p.rank = rankCommit
	}
	return p
}

// phase judges what follows a number's digits, which is not empty.
func phase(tail string) (int, string) {
	rest := strings.TrimLeft(tail, "-_.")
	lower := strings.ToLower(rest)
	switch {
	case strings.HasPrefix(tail, "+") || rest == "": // what was built is no order
		return 0, ""
	case strings.HasPrefix(lower, "post"):
		return 1, lower
	case tail[0] == '-' || attached.MatchString(rest): // after a dash: a pre-release, as semantic versions have it
		lower, _, _ = strings.Cut(lower, "+")
		return -1, lower
	}
	return 1, lower
}

func trimZeros(digits []string) []string {
	trimmed := make([]string, 0, len(digits))
	for _, d := range digits {
		if d == "" {
			continue
		}
		trimmed = append(trimmed, trimZero(d))
	}
	return trimmed
}

func trimZero(digits string) string {
	if t := strings.TrimLeft(digits, "0"); t != "" {
		return t
	}
	return "0"
}

// IsVersion reports whether a folder of that name is a version, whatever lies in it: numbers and semantic versions
// with or without v, dates, step-1000, checkpoint-500 and the like, and commits' hashes of at least seven digits.
func IsVersion(name string) bool {
	if name == "" || !versionStart[name[0]] {
		return false
	}
	return parse(name).rank != rankName
}

// versionStart are the bytes that a version's name may begin with: most folders are refused by it.
var versionStart = func() (start [256]bool) {
	for _, c := range []byte("0123456789abcdefvgsirbVGSIRBCE") {
		start[c] = true
	}
	return start
}()

// Compare orders the names of versions, older ones first: by rank (names, commits, checkpoints, dates, numbers), then
// numbers as semantic versions do, part by part (so v10 > v3, and 1.2 = 1.2.0) and pre-releases before their release,
// dates by day, and all else in natural order. Identifiers of a pre-release are in natural order too, which differs
// from semver.org in rc10 > rc2. It is zero for equal names alone.
func Compare(a, b string) int { return parse(a).compare(parse(b)) }

// Sort sorts the names of versions, the newest last.
func Sort(names []string) {
	keys := make([]parsed, len(names))
	for i, name := range names {
		keys[i] = parse(name)
	}
	slices.SortFunc(keys, parsed.compare)
	for i, k := range keys {
		names[i] = k.name
	}
}

func (p parsed) compare(q parsed) int {
	if c := cmp.Compare(p.rank, q.rank); c != 0 {
		return c
	}
	switch p.rank {
	case rankNumber, rankDate:
		for i := range max(len(p.digits), len(q.digits)) {
			if c := compareDigits(part(p.digits, i), part(q.digits, i)); c != 0 {
				return c
			}
		}
		if c := cmp.Compare(p.phase, q.phase); c != 0 {
			return c
		}
		if c := compareTails(p.rest, q.rest); c != 0 {
			return c
		}
	}
	if c := Natural(p.name, q.name); c != 0 {
		return c
	}
	return 0
}

// part is a number's part i; those that are not written are 0.
func part(digits []string, i int) string {
	if i < len(digits) {
		return digits[i]
	}
	return "0"
}

// compareDigits compares numbers of any length, without leading zeros.
func compareDigits(a, b string) int {
	if c := cmp.Compare(len(a), len(b)); c != 0 {
		return c
	}
	return strings.Compare(a, b)
}

// compareTails compares pre-releases by semver.org, point 11: identifier by identifier, numbers before words, and the
// shorter before the longer.
func compareTails(a, b string) int {
	if a == b {
		return 0
	}
	as, bs := strings.Split(a, "."), strings.Split(b, ".")
	for i := range min(len(as), len(bs)) {
		x, y := as[i], bs[i]
		nx, ny := isDigits(x), isDigits(y)
		var c int
		switch {
		case nx && ny:
			c = compareDigits(trimZero(x), trimZero(y))
		case nx:
			c = -1
		case ny:
			c = 1
		default:
			c = Natural(x, y)
		}
		if c != 0 {
			return c
		}
	}
	return cmp.Compare(len(as), len(bs))
}

func isDigits(s string) bool {
	for _, c := range []byte(s) {
		if c < '0' || c > '9' {
			return false
		}
	}
	return s != ""
}

// Natural compares names as people order them: runs of digits as numbers, all else byte by byte. It is zero for equal
// names alone.
func Natural(a, b string) int {
	x, y := a, b
	for x != "" && y != "" {
		nx, ny := leadingDigits(x), leadingDigits(y)
		if nx > 0 && ny > 0 {
			if c := compareDigits(trimZero(x[:nx]), trimZero(y[:ny])); c != 0 {
				return c
			}
			x, y = x[nx:], y[ny:]
			continue
		}
		if x[0] != y[0] {
			return cmp.Compare(x[0], y[0])
		}
		x, y = x[1:], y[1:]
	}
	if c := cmp.Compare(len(x), len(y)); c != 0 {
		return c
	}
	return strings.Compare(a, b)
}

func leadingDigits(s string) int {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return i
		}
	}
	return len(s)
}

// Match is the version that a name asked for stands for, generously:
//
//	v3      itself; a name that is there wins over any reading
//	3, V3   v3, and v3 or 003 likewise: the same number
//	1.2, 1  the newest 1.2.x or 1.x; a pre-release only where there is nothing else. 1.2.x is the same
//	2026-05 the newest of that month
//	1000    step-1000, where no other checkpoint has that number
//	9f1c2e  the commit that begins so, where it is the only one; a whole hash finds its abbreviation
//
// The versions may be in any order.
func Match(versions []string, asked string) (string, bool) {
	if slices.Contains(versions, asked) {
		return asked, true
	}
	if asked == "" {
		return "", false
	}
	keys := make([]parsed, len(versions))
	for i, v := range versions {
		keys[i] = parse(v)
	}
	want := parse(strings.TrimSuffix(strings.TrimSuffix(asked, ".x"), ".*"))
	if want.rank == rankNumber {
		if name, ok := sameNumber(keys, want); ok && want.name == asked {
			return name, true
		}
		if name, ok := newest(keys, rankNumber, want); ok {
			return name, true
		}
	}
	if want.rank == rankDate || want.rank == rankNumber && len(want.digits) == 1 && len(want.digits[0]) == 4 {
		if name, ok := newest(keys, rankDate, want); ok {
			return name, true
		}
	}
	if isDigits(asked) {
		if name, ok := theOnly(keys, func(k parsed) bool {
			m := wordName.FindStringSubmatch(k.name)
			return k.rank == rankWord && m != nil && trimZero(m[1]) == trimZero(asked)
		}); ok {
			return name, true
		}
	}
	return matchCommit(keys, asked)
}

// sameNumber finds the version that is the same number, written differently.
func sameNumber(keys []parsed, want parsed) (string, bool) {
	return theOnly(keys, func(k parsed) bool {
		return k.rank == rankNumber && k.phase == want.phase && strings.EqualFold(k.rest, want.rest) && slices.Equal(k.digits, want.digits)
	})
}

// newest finds the newest version of a rank whose digits begin with those wanted and go on: a pre-release only where
// there is no other.
func newest(keys []parsed, of rank, want parsed) (string, bool) {
	if want.phase != 0 || want.rest != "" {
		return "", false
	}
	var best *parsed
	for i := range keys {
		k := &keys[i]
		if k.rank != of || len(k.digits) <= len(want.digits) || !slices.Equal(k.digits[:len(want.digits)], want.digits) {
			continue
		}
		early := k.phase < 0
		switch {
		case best == nil, best.phase < 0 && !early, (best.phase < 0) == early && best.compare(*k) < 0:
			best = k
		}
	}
	if best == nil {
		return "", false
	}
	return best.name, true
}

// matchCommit finds the one commit that asked abbreviates, or that abbreviates asked.
func matchCommit(keys []parsed, asked string) (string, bool) {
	asked = strings.ToLower(asked)
	if len(asked) < 4 || strings.Trim(asked, "0123456789abcdef") != "" {
		return "", false
	}
	return theOnly(keys, func(k parsed) bool {
		return commitName.MatchString(k.name) && (strings.HasPrefix(k.name, asked) || strings.HasPrefix(asked, k.name))
	})
}

// theOnly is the name that fits where exactly one does.
func theOnly(keys []parsed, fits func(parsed) bool) (string, bool) {
	found, count := "", 0
	for _, k := range keys {
		if fits(k) {
			found, count = k.name, count+1
		}
	}
	if count != 1 {
		return "", false
	}
	return found, true
}
