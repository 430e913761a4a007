package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// said is what a command line prints.
func said(t *testing.T, words ...string) string {
	t.Helper()
	var out bytes.Buffer
	root := newRoot()
	root.SetOut(&out)
	root.SetErr(&out)
	root.SetArgs(words)
	if err := root.Execute(); err != nil {
		t.Fatalf("%q: %v", words, err)
	}
	return out.String()
}

// everyCommand calls visit with each command that is listed, root itself excepted.
func everyCommand(c *cobra.Command, visit func(*cobra.Command)) {
	for _, below := range c.Commands() {
		if !below.Hidden {
			visit(below)
			everyCommand(below, visit)
		}
	}
}

// plainPage is what people see of a page.
func plainPage(text []byte) string {
	return strings.NewReplacer(`\fB`, "", `\fI`, "", `\fP`, "", `\-`, "-", `\(aq`, "'", `\e`, `\`, `\(ti`, "~", `\&`, "").Replace(string(text))
}

// TestOneTruth: every command and every flag stands in the help, on the page and in the completion; every option in
// these, on all pages, in the sample of a configuration file and in README.md; and none of these names another.
func TestOneTruth(t *testing.T) {
	root := newRoot()
	files, err := manual(root)
	if err != nil {
		t.Fatal(err)
	}
	text := map[string]string{}
	for _, f := range files {
		text[f.path] = plainPage(f.text)
		if len(f.text) == 0 {
			t.Errorf("%s is empty", f.path)
		}
	}
	want := func(where, in, what string) {
		t.Helper()
		if !strings.Contains(in, what) {
			t.Errorf("%s does not have %q", where, what)
		}
	}
	everyCommand(root, func(c *cobra.Command) {
		words := strings.Fields(c.CommandPath())[1:]
		above := words[:len(words)-1]
		want("help of "+c.Parent().CommandPath(), said(t, append(slices.Clone(above), "--help")...), "\n  "+c.Name()+" ")
		want(commandPage, text[commandPage], "\n.SS \""+c.Parent().CommandPath()+" "+strings.ReplaceAll(c.Use, `"`, `\(dq`)+"\"\n")
		want("completion of "+c.Parent().CommandPath(), said(t, slices.Concat([]string{"__complete"}, above, []string{c.Name()})...), c.Name()+"\t")
		help := said(t, append(slices.Clone(words), "--help")...)
		flags := said(t, slices.Concat([]string{"__complete"}, words, []string{"--"})...)
		c.LocalFlags().VisitAll(func(f *pflag.Flag) {
			if f.Hidden || f.Name == "help" {
				return
			}
			want("help of "+c.CommandPath(), help, "--"+f.Name)
			want("completion of "+c.CommandPath(), flags, "--"+f.Name)
			want(commandPage, text[commandPage], "--"+f.Name)
			if f.Usage == "" {
				t.Errorf("%s --%s is not explained", c.CommandPath(), f.Name)
			}
		})
	})

	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	help, complete := said(t, "mount", "--help"), said(t, "__complete", "mount", "-o", "")
	for _, o := range options {
		want("isomerfs mount --help", help, "--"+o.flag())
		want("completion of -o", complete, o.name)
		want(commandPage, text[commandPage], "--"+o.flag())
		want(commandPage, text[commandPage], o.variable())
		for _, path := range []string{commandPage, configPage, helperPage} {
			want(path, text[path], o.name)
			want(path, text[path], o.usage)
		}
		want(sampleFile, text[sampleFile], "\n#"+o.name+" = ")
		want("README.md", string(readme), "`"+o.name)
	}

	// The sample is a configuration file, and one with every comment taken away has the options, all and no others.
	sample := filepath.Join(t.TempDir(), "isomerfs.conf")
	for _, uncommented := range []bool{false, true} {
		body := text[sampleFile]
		if uncommented {
			body = strings.ReplaceAll(body, "\n#", "\n")
			body = strings.ReplaceAll(body, "\n ", "\n# ")
		}
		if err := os.WriteFile(sample, []byte(body), 0o644); err != nil {
			t.Fatal(err)
		}
		lines, err := readConfig(sample)
		if err != nil {
			t.Fatal(err)
		}
		if !uncommented && len(lines) > 0 || uncommented && len(lines) != len(options) {
			t.Errorf("the sample sets %d options, of %d:\n%s", len(lines), len(options), body)
		}
		for i, l := range lines {
			if l.name != options[i].name {
				t.Errorf("line %d of the sample sets %q", i, l.name)
			}
		}
	}
	for line := range strings.Lines(fstabExamples) {
		if fields := strings.Fields(line); len(fields) > 0 {
			if _, err := (&helperCall{options: splitOptions(fields[3])}).settings(); err != nil {
				t.Errorf("an example of %s is refused: %v", helperPage, err)
			}
		}
	}
}

// TestManualPagesAreSound: the readers of manual pages find nothing wrong with them.
func TestManualPagesAreSound(t *testing.T) {
	dir := t.TempDir()
	said(t, "manual", dir)
	for _, page := range []string{commandPage, configPage, helperPage} {
		for _, reader := range [][]string{{"groff", "-man", "-Tutf8", "-ww", "-z"}, {"mandoc", "-Tlint", "-Werror"}} {
			if _, err := exec.LookPath(reader[0]); err != nil {
				t.Logf("there is no %s to read %s", reader[0], page)
				continue
			}
			output, err := exec.Command(reader[0], append(reader[1:], filepath.Join(dir, page))...).CombinedOutput()
			if err != nil || reader[0] == "groff" && len(output) > 0 {
				t.Errorf("%s %s: %v\n%s", reader[0], page, err, output)
			}
		}
	}
}

// TestCompletePath: below a store and below a plain file, a path goes on with what no shell sees; elsewhere the shell is
// left to itself.
func TestCompletePath(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("HOME", dir)
	t.Setenv("XDG_CONFIG_HOME", dir)
	store := filepath.Join(dir, "store")
	if err := os.MkdirAll(filepath.Join(store, "digits"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.CopyFS(filepath.Join(store, "digits", "v1"), os.DirFS("../../demo/store/digits/v1")); err != nil {
		t.Fatal(err)
	}
	for begun, want := range map[string]string{
		"digits/v1/onn":               "digits/v1/onnx/",
		"digits/v1/onnx/fp":           "digits/v1/onnx/fp32/ digits/v1/onnx/fp16/",
		"digits/v1/onnx/fp16/":        "digits/v1/onnx/fp16/model.onnx",
		"digits/v1/model.onnx/onnx/b": "digits/v1/model.onnx/onnx/bf16/",
		"digits/":                     "digits/v1/ digits/latest/",
		"digits/v1/nothing":           "",
		"digits/nowhere/x":            "",
		"dig":                         "",
	} {
		names, directive := completePath(lsCommand(), nil, filepath.Join(store)+"/"+begun)
		got := strings.ReplaceAll(strings.Join(names, " "), store+"/", "")
		if got != want {
			t.Errorf("%q goes on with %q, want %q", begun, got, want)
		}
		if (directive == cobra.ShellCompDirectiveDefault) != (want == "") {
			t.Errorf("%q: directive %v", begun, directive)
		}
	}
	began := time.Now()
	completePath(lsCommand(), nil, "/proc/self/fd/")
	if took := time.Since(began); took > 5*completing {
		t.Errorf("a completion took %v", took)
	}
}

func TestCompleteOptions(t *testing.T) {
	for begun, want := range map[string]string{
		"passthrough=":            "passthrough=auto passthrough=off",
		"allow_other,first-open=": "allow_other,first-open=stream allow_other,first-open=wait",
		"log_level=":              "log_level=debug log_level=info log_level=warn log_level=error",
		"verify=":                 "verify=structure verify=digest verify=signature",
		"fills=":                  "",
	} {
		got, _ := completeOptions(nil, nil, begun)
		if strings.Join(got, " ") != want {
			t.Errorf("-o %s goes on with %q, want %q", begun, got, want)
		}
	}
}
