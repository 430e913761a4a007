package checkpoint

import (
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode"
)

// identity is what the name of a model tells of it: org/Base-7B-Chat-v1.0.
type identity struct {
	name, organization, basename, finetune, version, sizeLabel string // "" where the name does not tell
}

// What a part of a name between dashes is.
const (
	isBasename = 1 << iota
	isSizeLabel
	isFinetune
	isVersion
	isType
)

var (
	versionPart  = regexp.MustCompile(`^(?i:(v|iter)?\d+([.]\d+)*)$`)
	typePart     = regexp.MustCompile(`^(?i:i?q\d(_\w)*|b?fp?(16|32))$`)
	sizePart     = regexp.MustCompile(`^(?i:(([A]|\d+[x])?\d+([._]\d+)?[KMBT][\d]?|small|mini|medium|large|x?xl))$`)
	finetunePart = regexp.MustCompile(`^(?i:chat|instruct|vision|lora)$`)
)

// identify takes a name apart. parameters is how many the model has: a size in the name that is far from it is that of
// something else, such as a context.
func identify(id string, parameters int64) identity {
	var x identity
	if id == "" {
		return x
	}
	if strings.Contains(id, " ") { // a sentence
		x.name = id
		return x
	}
	x.name = id
	if org, rest, ok := strings.Cut(id, "/"); ok {
		x.name = rest
		if !strings.HasPrefix(org, ".") {
			x.organization = org
		}
	}
	parts := slices.DeleteFunc(strings.Split(x.name, "-"), func(p string) bool { return p == "" })
	kinds := make([]int, len(parts))
	for i, part := range parts {
		switch {
		case versionPart.MatchString(part):
			kinds[i] = isVersion
		case typePart.MatchString(part):
			kinds[i] = isType
			parts[i] = strings.ToUpper(part)
		case i > 0 && sizePart.MatchString(part):
			parts[i], kinds[i] = sizeOf(part, parameters)
		case i > 0 && finetunePart.MatchString(part):
			kinds[i] = isFinetune
		}
	}
	// words for a size do not count where there is a number
	numeric := false
	for i, p := range parts {
		numeric = numeric || kinds[i]&isSizeLabel != 0 && strings.ContainsFunc(p, unicode.IsDigit)
	}
	if numeric {
		for i, p := range parts {
			if kinds[i]&isSizeLabel != 0 && !strings.ContainsFunc(p, func(r rune) bool { return !unicode.IsLetter(r) }) {
				kinds[i] &^= isSizeLabel
			}
		}
	}
	first := true
	for i, p := range parts {
		r := []rune(p)[0]
		if first && (kinds[i] == 0 && unicode.IsLetter(r) || kinds[i]&isVersion != 0) {
			kinds[i] |= isBasename
			continue
		}
		first = false
		if kinds[i] == 0 {
			kinds[i] = isFinetune
		}
	}
	for i := len(parts) - 1; i >= 0 && kinds[i]&isBasename != 0 && kinds[i] != isBasename; i-- {
		kinds[i] &^= isBasename
	}
	pick := func(want func(kind int) bool) string {
		var list []string
		for i, p := range parts {
			if want(kinds[i]) {
				list = append(list, p)
			}
		}
		return strings.Join(list, "-")
	}
	x.basename = pick(func(k int) bool { return k&isBasename != 0 })
	x.finetune = pick(func(k int) bool { return k&isFinetune != 0 })
	x.version = pick(func(k int) bool { return k&isVersion != 0 && k&isBasename == 0 })
	var sizes []string
	for i, p := range parts {
		if kinds[i]&isSizeLabel != 0 && !slices.Contains(sizes, p) {
			sizes = append(sizes, p)
		}
	}
	x.sizeLabel = strings.Join(sizes, "-")
	if x.sizeLabel == "" && x.finetune == "" && x.version == "" {
		x.basename = "" // it could be anything
	}
	return x
}

// sizeOf is a part of a name that looks like a size, as sizes are written, and what it is.
func sizeOf(part string, parameters int64) (string, int) {
	part = strings.ReplaceAll(part, "_", ".")
	if n := len(part); unicode.IsDigit(rune(part[n-1])) { // 7b1 is 7.1B
		part = part[:n-2] + "." + part[n-1:] + part[n-2:n-1]
	}
	n := len(part)
	if n > 1 && unicode.IsDigit(rune(part[n-2])) && strings.IndexByte("kmbt", part[n-1]) >= 0 {
		part = part[:n-1] + strings.ToUpper(part[n-1:])
	}
	if parameters == 0 {
		return part, isSizeLabel
	}
	if f, err := strconv.ParseFloat(part[:n-1], 64); err == nil {
		power := strings.IndexByte(" KMBT", part[n-1])
		size := f * math.Pow(1000, float64(power))
		if math.Abs(size-float64(parameters)) > float64(7*parameters/8) {
			return part[:n-1] + strings.ToLower(part[n-1:]), isFinetune
		}
	}
	return part, isSizeLabel
}

var numbered = regexp.MustCompile(`^(v\d+(?:\.\d+)*|\d.*)$`)

// title is a name as a title: words begin with capitals, but for acronyms and numbers of versions.
func title(name string) string {
	words := strings.Fields(strings.ReplaceAll(strings.TrimSpace(name), "-", " "))
	for i, w := range words {
		if lower(w) && !numbered.MatchString(w) {
			words[i] = capitals(w)
		}
	}
	return strings.Join(words, " ")
}

// lower reports whether a word has letters of two cases, and all are small.
func lower(w string) bool {
	cased := false
	for _, r := range w {
		if unicode.IsUpper(r) || unicode.IsTitle(r) {
			return false
		}
		cased = cased || unicode.IsLower(r)
	}
	return cased
}

// capitals gives each run of letters a capital.
func capitals(w string) string {
	var b strings.Builder
	within := false
	for _, r := range w {
		cased := unicode.IsUpper(r) || unicode.IsLower(r) || unicode.IsTitle(r)
		switch {
		case !cased:
			b.WriteRune(r)
		case within:
			b.WriteRune(unicode.ToLower(r))
		default:
			b.WriteRune(unicode.ToTitle(r))
		}
		within = cased
	}
	return b.String()
}

// sizeLabel is a number of parameters as people say it; with experts, how many of which size.
func sizeLabel(total, shared, expert, experts int64) string {
	if experts > 0 {
		return strconv.FormatInt(experts, 10) + "x" + rounded(shared+expert)
	}
	return rounded(total)
}

func rounded(n int64) string {
	f := float64(n)
	scale, suffix := 1e-3, "K"
	switch {
	case f > 1e12:
		scale, suffix = 1e-12, "T"
	case f > 1e9:
		scale, suffix = 1e-9, "B"
	case f > 1e6:
		scale, suffix = 1e-6, "M"
	}
	f *= scale
	digits := strings.TrimLeft(strconv.FormatFloat(math.RoundToEven(f), 'f', 0, 64), "0")
	return strconv.FormatFloat(f, 'f', max(2-len(digits), 0), 64) + suffix
}
