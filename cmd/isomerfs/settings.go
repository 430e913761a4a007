package main

import (
	"bufio"
	"fmt"
	"log/slog"
	"math"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/isomerfs/isomerfs/tree"
)

// settings is what a person may choose. Each has one name, used as a mount option (-o cache_size=50G), a flag
// (--cache-size), a variable (ISOMERFS_CACHE_SIZE) and a line of a config file (cache_size = 50G); flags win over
// variables, those over the file.
type settings struct {
	cacheDir    string
	cacheSize   int64 // bytes; 0: the cache's default
	log         string
	logLevel    slog.Level
	passthrough string // auto or off
	allowOther  bool
	verify      string // structure, digest or signature
	pickle      tree.Policy
	served      string   // the alias whose versions have views; "": all have
	follow      []string // folders that symlinks in the store may lead to
	uid, gid    *uint32
	umask       uint32
	firstOpen   string // stream or wait
	fills       int    // at once; 0: the cache's default
	fillCPUs    int    // 0: all
}

// option is one setting's name, how it is given, and what it does.
type option struct {
	name  string // as a mount option
	value string // the placeholder of its value; "" for a switch
	usage string
	set   func(*settings, string) error // why the value cannot be
}

// variable is its name in the environment.
func (o option) variable() string { return "ISOMERFS_" + strings.ToUpper(o.name) }

// flag is its name as a flag, without the dashes.
func (o option) flag() string { return strings.ReplaceAll(o.name, "_", "-") }

// options lists the settings in the order of the help text.
var options = []option{
	{"cache_dir", "DIR", "where converted files are kept (root: /var/cache/isomerfs; else the user's cache folder)", func(s *settings, v string) (err error) {
		s.cacheDir, err = filepath.Abs(v)
		return err
	}},
	{"cache_size", "SIZE", "how much the cache may take, such as 50G; 5 % of its disk always stays free (50G)", func(s *settings, v string) (err error) {
		s.cacheSize, err = parseSize(v)
		return err
	}},
	{"passthrough", "auto|off", "let the kernel read finished files by itself where it can (auto)", func(s *settings, v string) error {
		return choose(&s.passthrough, v, "auto", "off")
	}},
	{"allow_other", "", "let other users read the mount too", func(s *settings, v string) error { return toggle(&s.allowOther, v) }},
	{"verify", "LEVEL", "structure, digest or signature: what is checked before anything derived is served (structure)", func(s *settings, v string) error {
		return choose(&s.verify, v, "structure", "digest", "signature")
	}},
	{"pickle", "POLICY", "refuse-dangerous, refuse-opaque or allow: which models are shown whose pickles Python would run; here nothing is run (refuse-dangerous)", func(s *settings, v string) error {
		var word string
		if err := choose(&word, v, tree.Policies...); err != nil {
			return err
		}
		s.pickle = tree.Policy(slices.Index(tree.Policies, word))
		return nil
	}},
	{"serve", "ALIAS", "make views of those versions alone that have an alias of this name in the store, such as approved (all)", func(s *settings, v string) error {
		if strings.ContainsAny(v, "/ ~") {
			return fmt.Errorf("%q is no name of an alias", v)
		}
		s.served = v
		return nil
	}},
	{"follow", "DIR", "allow symlinks of the store that lead into DIR; may be given more than once", func(s *settings, v string) error {
		dir, err := filepath.Abs(v)
		s.follow = append(s.follow, dir)
		return err
	}},
	{"first_open", "stream|wait", "whether the first open of a large file answers at once or when it is converted (stream)", func(s *settings, v string) error {
		return choose(&s.firstOpen, v, "stream", "wait")
	}},
	{"fills", "N", "how many files are converted ahead at once", func(s *settings, v string) error { return count(&s.fills, v) }},
	{"fill_cpus", "N", "how many processors conversions may use (all)", func(s *settings, v string) error { return count(&s.fillCPUs, v) }},
	{"uid", "USER", "who owns the files, a name or a number (as in the store)", func(s *settings, v string) (err error) {
		s.uid, err = id(v, func(name string) (string, error) {
			u, err := user.Lookup(name)
			if err != nil {
				return "", err
			}
			return u.Uid, nil
		})
		return err
	}},
	{"gid", "GROUP", "whose group they are, a name or a number (as in the store)", func(s *settings, v string) (err error) {
		s.gid, err = id(v, func(name string) (string, error) {
			g, err := user.LookupGroup(name)
			if err != nil {
				return "", err
			}
			return g.Gid, nil
		})
		return err
	}},
	{"umask", "MASK", "permission bits to take away, in octal", func(s *settings, v string) error {
		mask, err := strconv.ParseUint(v, 8, 9)
		if err != nil {
			return fmt.Errorf("%q is no octal mask such as 027", v)
		}
		s.umask = uint32(mask)
		return nil
	}},
	{"log", "FILE", "where the log goes (in front: stderr; in the background: the journal under systemd, else the state folder)", func(s *settings, v string) (err error) {
		s.log, err = filepath.Abs(v)
		return err
	}},
	{"log_level", "LEVEL", "debug, info, warn or error (info)", func(s *settings, v string) error {
		if err := s.logLevel.UnmarshalText([]byte(v)); err != nil {
			return fmt.Errorf("%q is none of debug, info, warn, error", v)
		}
		return nil
	}},
}

// assignment is one setting as it was given.
type assignment struct {
	name, value string
	by          string // how the person who gave it would call it
}

func (a assignment) apply(s *settings) error {
	i := slices.IndexFunc(options, func(o option) bool { return o.name == a.name })
	if i < 0 {
		return fmt.Errorf("%s: there is no such option", a.by)
	}
	if options[i].value != "" && a.value == "" {
		return fmt.Errorf("%s: needs a value, %s=%s", a.by, a.name, options[i].value)
	}
	if err := options[i].set(s, a.value); err != nil {
		return fmt.Errorf("%s: %w", a.by, err)
	}
	return nil
}

// loadSettings applies the config files, the environment and then given. The error, of wrong usage, names what is wrong
// and where.
func loadSettings(given []assignment) (*settings, error) {
	s, err := readSettings(given)
	if err != nil {
		return nil, &usageError{err.Error(), "isomerfs mount"}
	}
	return s, nil
}

func readSettings(given []assignment) (*settings, error) {
	s := &settings{passthrough: "auto", verify: "structure", firstOpen: "stream"}
	var all []assignment
	for _, path := range configFiles() {
		some, err := readConfig(path)
		if err != nil {
			return nil, err
		}
		all = append(all, some...)
	}
	for _, o := range options {
		if v := os.Getenv(o.variable()); v != "" {
			all = append(all, assignment{o.name, v, o.variable()})
		}
	}
	for _, a := range append(all, given...) {
		if err := a.apply(s); err != nil {
			return nil, err
		}
	}
	if s.cacheDir == "" {
		dir, err := defaultCacheDir()
		if err != nil {
			return nil, fmt.Errorf("cache_dir: there is no default here (%w); give one", err)
		}
		s.cacheDir = dir
	}
	return s, nil
}

func defaultCacheDir() (string, error) {
	if os.Geteuid() == 0 {
		return "/var/cache/isomerfs", nil
	}
	dir, err := os.UserCacheDir()
	return filepath.Join(dir, "isomerfs"), err
}

// configFiles are the files that are read, the later winning.
func configFiles() []string {
	files := []string{"/etc/isomerfs.conf"}
	if dir, err := os.UserConfigDir(); err == nil {
		files = append(files, filepath.Join(dir, "isomerfs", "isomerfs.conf"))
	}
	return files
}

// readConfig reads lines of `key = value`; the keys are those of options, # begins a comment. A file that is not there
// says nothing.
func readConfig(path string) ([]assignment, error) {
	file, err := os.Open(path)
	if err != nil {
		if os.IsNotExist(err) || os.IsPermission(err) {
			return nil, nil
		}
		return nil, err
	}
	defer file.Close()
	var found []assignment
	lines := bufio.NewScanner(file)
	for n := 1; lines.Scan(); n++ {
		line, _, _ := strings.Cut(lines.Text(), "#")
		if line = strings.TrimSpace(line); line == "" {
			continue
		}
		key, value, _ := strings.Cut(line, "=")
		key = optionName(strings.TrimSpace(key))
		found = append(found, assignment{key, unquote(strings.TrimSpace(value)), fmt.Sprintf("%s line %d: %s", path, n, key)})
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return found, nil
}

// settingsFlags adds the settings as flags and as -o, and returns what was given, in the order in which it was.
func settingsFlags(cmd *cobra.Command) *[]assignment {
	given := &[]assignment{}
	cmd.Flags().SetNormalizeFunc(func(_ *pflag.FlagSet, name string) pflag.NormalizedName {
		return pflag.NormalizedName(strings.ReplaceAll(name, "_", "-"))
	})
	cmd.Flags().VarP(&mountOptions{given}, "option", "o", "a mount option, or several with commas between: NAME=VALUE has the meaning of --NAME VALUE")
	for _, o := range options {
		flag := cmd.Flags().VarPF(&optionFlag{o, given}, o.name, "", o.usage)
		if o.value == "" {
			flag.NoOptDefVal = "true"
		}
		cmd.RegisterFlagCompletionFunc(flag.Name, o.complete)
	}
	cmd.RegisterFlagCompletionFunc("option", completeOptions)
	return given
}

// mountOptions is the value of -o.
type mountOptions struct{ given *[]assignment }

func (*mountOptions) String() string { return "" }
func (*mountOptions) Type() string   { return "NAME[=VALUE],..." }
func (m *mountOptions) Set(text string) error {
	for _, part := range splitOptions(text) {
		name, value, _ := strings.Cut(part, "=")
		*m.given = append(*m.given, assignment{optionName(name), unquote(value), name})
	}
	return nil
}

// splitOptions splits at commas, but not within double quotes.
func splitOptions(text string) []string {
	var parts []string
	var part strings.Builder
	quoted := false
	for _, r := range text + "," {
		switch {
		case r == '"':
			quoted = !quoted
			part.WriteRune(r)
		case r == ',' && !quoted:
			if part.Len() > 0 {
				parts = append(parts, part.String())
			}
			part.Reset()
		default:
			part.WriteRune(r)
		}
	}
	if part.Len() > 0 { // a quote that nobody closed
		parts = append(parts, strings.TrimSuffix(part.String(), ","))
	}
	return parts
}

func optionName(name string) string { return strings.ReplaceAll(name, "-", "_") }

func unquote(value string) string {
	if len(value) >= 2 && value[0] == '"' && value[len(value)-1] == '"' {
		return value[1 : len(value)-1]
	}
	return value
}

// optionFlag is the value of a long flag.
type optionFlag struct {
	option
	given *[]assignment
}

func (o *optionFlag) String() string { return "" }
func (o *optionFlag) Type() string   { return o.value }
func (o *optionFlag) Set(value string) error {
	*o.given = append(*o.given, assignment{o.name, value, "--" + o.flag()})
	return nil
}

// parseSize is the bytes of 50G, 1.5TB (powers of 1000), 64MiB (powers of 1024) or 4096.
func parseSize(text string) (int64, error) {
	n, err := humanize.ParseBytes(text)
	if err != nil || n == 0 || n > math.MaxInt64 {
		return 0, fmt.Errorf("%q is no size such as 50G or 64MiB", text)
	}
	return int64(n), nil
}

// parseTime is the time of 30s, 2m or 1h30m.
func parseTime(text string) (time.Duration, error) {
	d, err := time.ParseDuration(text)
	if err != nil || d <= 0 {
		return 0, fmt.Errorf("%q is no time such as 30s", text)
	}
	return d, nil
}

func choose(to *string, value string, choices ...string) error {
	if !slices.Contains(choices, value) {
		return fmt.Errorf("%q is none of %s", value, strings.Join(choices, ", "))
	}
	*to = value
	return nil
}

func toggle(to *bool, value string) error {
	if value == "" {
		value = "true"
	}
	on, err := strconv.ParseBool(value)
	if err != nil {
		return fmt.Errorf("%q is neither true nor false", value)
	}
	*to = on
	return nil
}

func count(to *int, value string) error {
	n, err := strconv.Atoi(value)
	if err != nil || n < 1 {
		return fmt.Errorf("%q is no number from 1", value)
	}
	*to = n
	return nil
}

// id is a number, or the number that lookup has for a name.
func id(value string, lookup func(string) (string, error)) (*uint32, error) {
	n, err := strconv.ParseUint(value, 10, 32)
	if err != nil {
		number, err := lookup(value)
		if err != nil {
			return nil, err
		}
		if n, err = strconv.ParseUint(number, 10, 32); err != nil {
			return nil, err
		}
	}
	known := uint32(n)
	return &known, nil
}
