package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/isomerfs/isomerfs/cmd/isomerfs/roff"
)

// manualCommand writes what an installation has beside the program. It is for packagers, and not listed.
//
// Everything is made from the commands, their flags and the table of options: there is no other place where one of them
// is described, so that none can be forgotten.
func manualCommand() *cobra.Command {
	return &cobra.Command{
		Use:    "manual DIR",
		Short:  "write the manual pages, completions and the sample configuration into DIR, laid out as /usr/share is",
		Hidden: true,
		Args:   arguments(1, "DIR"),
		RunE: func(cmd *cobra.Command, args []string) error {
			all, err := manual(cmd.Root())
			if err != nil {
				return err
			}
			for _, f := range all {
				path := filepath.Join(args[0], f.path)
				if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
					return placed(path, err)
				}
				if err := os.WriteFile(path, f.text, 0o644); err != nil {
					return placed(path, err)
				}
			}
			return nil
		},
	}
}

// The files of the manual, below /usr/share.
const (
	commandPage = "man/man1/isomerfs.1"
	configPage  = "man/man5/isomerfs.conf.5"
	helperPage  = "man/man8/mount.isomerfs.8"
	sampleFile  = "doc/isomerfs/isomerfs.conf"
	bashFile    = "bash-completion/completions/isomerfs"
	zshFile     = "zsh/site-functions/_isomerfs"
	fishFile    = "fish/vendor_completions.d/isomerfs.fish"
)

// manualFile is a file of the manual.
type manualFile struct {
	path string
	text []byte
}

func manual(root *cobra.Command) ([]manualFile, error) {
	all := []manualFile{
		{commandPage, []byte(aboutCommands(root))},
		{configPage, []byte(aboutConfig())},
		{helperPage, []byte(aboutHelper())},
		{sampleFile, []byte(sampleConfig())},
	}
	for _, c := range []struct {
		path  string
		write func(*bytes.Buffer) error
	}{
		{bashFile, func(b *bytes.Buffer) error { return root.GenBashCompletionV2(b, true) }},
		{zshFile, func(b *bytes.Buffer) error { return root.GenZshCompletion(b) }},
		{fishFile, func(b *bytes.Buffer) error { return root.GenFishCompletion(b, true) }},
	} {
		var b bytes.Buffer
		if err := c.write(&b); err != nil {
			return nil, err
		}
		all = append(all, manualFile{c.path, b.Bytes()})
	}
	return all, nil
}

// page begins a page of the manual.
func page(name, section, book string) *roff.Page {
	return roff.New(name, section, "isomerfs "+builtVersion().Version, book)
}

// aboutCommands is isomerfs(1).
func aboutCommands(root *cobra.Command) string {
	p := page("isomerfs", "1", "User Commands")
	p.Name("isomerfs", root.Short)
	p.Section("SYNOPSIS")
	p.Paragraph(roff.Bold("isomerfs"), roff.Plain(" "), roff.Italic("COMMAND"), roff.Plain(" [FLAG...] [ARGUMENT...]"))
	p.Section("DESCRIPTION")
	p.Text(root.Long)
	for _, group := range root.Groups() {
		p.Section(strings.TrimSuffix(group.Title, ":"))
		for _, c := range root.Commands() {
			if c.GroupID == group.ID && !c.Hidden {
				aboutCommand(p, c)
			}
		}
	}
	p.Section("MOUNT OPTIONS")
	p.Paragraph(roff.Plain("These are flags of "), roff.Bold("isomerfs mount"), roff.Plain(", may be given to "), roff.Bold("-o"),
		roff.Plain(", as variables of the environment, or as lines of a configuration file; what comes first here wins. See isomerfs.conf(5)."))
	for _, o := range options {
		value := func(after string) roff.Inline {
			if o.value == "" {
				return ""
			}
			return roff.Plain(after) + roff.Italic(o.value)
		}
		p.Item([]roff.Inline{roff.Bold("--" + o.flag()), value(" "), roff.Plain(", "), roff.Bold("-o " + o.name), value("=")}, roff.Plain(o.usage))
	}
	p.Section("ENVIRONMENT")
	for _, o := range options {
		p.Item([]roff.Inline{roff.Bold(o.variable())}, roff.Plain("the mount option "), roff.Bold(o.name))
	}
	p.Item([]roff.Inline{roff.Bold("NO_COLOR")}, roff.Plain("where it is set, nothing is coloured; nothing is off a terminal either"))
	p.Section("FILES")
	files(p)
	p.Section("EXIT STATUS")
	p.Item([]roff.Inline{roff.Bold("0")}, roff.Plain("done"))
	p.Item([]roff.Inline{roff.Bold("1")}, roff.Plain("no, with the reason on stderr: absent, refused, found bad"))
	p.Item([]roff.Inline{roff.Bold("2")}, roff.Plain("wrong usage"))
	p.Section("SEE ALSO")
	p.Paragraph(roff.Plain("mount.isomerfs(8), isomerfs.conf(5), fstab(5), fusermount3(1)"))
	return p.String()
}

// aboutCommand is the part of isomerfs(1) about one command, and those below it.
func aboutCommand(p *roff.Page, c *cobra.Command) {
	p.Part(strings.TrimSpace(c.Parent().CommandPath() + " " + c.Use))
	p.Text(strings.ToUpper(c.Short[:1]) + c.Short[1:] + ".")
	p.Text(c.Long)
	if len(c.Aliases) > 0 {
		p.Text("Also: " + strings.Join(c.Aliases, ", ") + ".")
	}
	c.LocalFlags().VisitAll(func(f *pflag.Flag) {
		if _, setting := f.Value.(*optionFlag); !setting && !f.Hidden && f.Name != "help" {
			flagItem(p, f)
		}
	})
	if c.Example != "" {
		p.Paragraph(roff.Plain("Examples:"))
		p.Example(c.Example)
	}
	for _, below := range c.Commands() {
		if !below.Hidden {
			aboutCommand(p, below)
		}
	}
}

// flagItem is the entry of a flag.
func flagItem(p *roff.Page, f *pflag.Flag) {
	var tag []roff.Inline
	if f.Shorthand != "" {
		tag = append(tag, roff.Bold("-"+f.Shorthand), roff.Plain(", "))
	}
	tag = append(tag, roff.Bold("--"+f.Name))
	value, usage := pflag.UnquoteUsage(f)
	if value != "" {
		tag = append(tag, roff.Plain(" "), roff.Italic(value))
	}
	p.Item(tag, roff.Plain(usage))
}

// optionItems is the list of the mount options.
func optionItems(p *roff.Page) {
	for _, o := range options {
		tag := []roff.Inline{roff.Bold(o.name)}
		if o.value != "" {
			tag = append(tag, roff.Plain("="), roff.Italic(o.value))
		}
		p.Item(tag, roff.Plain(o.usage))
	}
}

// files is the list of the files that any command reads or writes.
func files(p *roff.Page) {
	for _, f := range []struct{ path, what string }{
		{"/etc/isomerfs.conf", "the configuration of this host"},
		{"~/.config/isomerfs/isomerfs.conf", "that of a user, which wins"},
		{"/etc/isomerfs/NAME.conf", "the environment of the unit isomerfs@NAME.service: store, mount point, options"},
		{"/var/cache/isomerfs", "the converted files of mounts made by root; everything in it can be made again"},
		{"~/.cache/isomerfs", "those of a user's mounts"},
		{"/run/isomerfs", "the sockets by which commands ask the daemons of root's mounts"},
		{"/var/log/isomerfs", "the logs of root's mounts in the background; a unit's log is in the journal"},
	} {
		p.Item([]roff.Inline{roff.Italic(f.path)}, roff.Plain(f.what))
	}
}

// aboutConfig is isomerfs.conf(5).
func aboutConfig() string {
	p := page("isomerfs.conf", "5", "File Formats")
	p.Name("isomerfs.conf", "mount options of isomerfs")
	p.Section("DESCRIPTION")
	p.Text(aboutConfigFile)
	p.Section("OPTIONS")
	optionItems(p)
	p.Section("EXAMPLE")
	p.Example("# Models are shared by all who use this host.\nallow_other = true\ncache_dir = /scratch/isomerfs\ncache_size = 500G")
	p.Section("FILES")
	files(p)
	p.Section("SEE ALSO")
	p.Paragraph(roff.Plain("isomerfs(1), mount.isomerfs(8)"))
	return p.String()
}

const aboutConfigFile = `/etc/isomerfs.conf and then ~/.config/isomerfs/isomerfs.conf are read by each mount, and by each command that needs
to know the cache. What a file says is outdone by a variable ISOMERFS_NAME, and that by a flag or by -o.

A line is NAME = VALUE, where NAME is that of a mount option; - and _ are the same in it. What follows a # is a
comment, unless the # stands in a value between double quotes. A switch needs no value. An option that may be given more than once may stand
in several lines.

A file with a name that is not known, or a value that can't be, is an error that names the file and the line: nothing
is mounted then.`

// aboutHelper is mount.isomerfs(8).
func aboutHelper() string {
	p := page("mount.isomerfs", "8", "System Administration")
	p.Name("mount.isomerfs", "mount a store of models by mount(8), fstab(5) or systemd.mount(5)")
	p.Section("SYNOPSIS")
	p.Paragraph(roff.Bold("mount -t isomerfs"), roff.Plain(" [-fnsv] [-o "), roff.Italic("OPTION"), roff.Plain(",...] "), roff.Italic("STORE"), roff.Plain(" "), roff.Italic("MOUNTPOINT"))
	p.Paragraph(roff.Bold(helperName), roff.Plain(" "), roff.Italic("STORE MOUNTPOINT"), roff.Plain(" [-fnsv] [-N "), roff.Italic("NAMESPACE"), roff.Plain("] [-o "), roff.Italic("OPTION"), roff.Plain(",...] [-t "), roff.Italic("TYPE"), roff.Plain("]"))
	p.Section("DESCRIPTION")
	p.Text(aboutMounting)
	p.Item([]roff.Inline{roff.Bold("-f")}, roff.Plain("fake: check what can be checked, and mount nothing"))
	p.Item([]roff.Inline{roff.Bold("-s")}, roff.Plain("sloppy: leave out options that are not known, instead of refusing them"))
	p.Item([]roff.Inline{roff.Bold("-v")}, roff.Plain("say in a line what was mounted"))
	p.Item([]roff.Inline{roff.Bold("-n"), roff.Plain(", "), roff.Bold("-N"), roff.Plain(", "), roff.Bold("-t")}, roff.Plain("are accepted, and mean nothing here"))
	p.Section("MOUNT OPTIONS")
	optionItems(p)
	p.Paragraph(roff.Plain("What is meant for others is accepted and means nothing: x-*, comment, " + strings.Join(ignored, ", ") + ". A mount is read-only, nosuid and nodev whatever the table says."))
	p.Section("EXIT STATUS")
	for _, c := range []struct {
		code int
		what string
	}{
		{exitDone, "mounted"},
		{mountUsage, "wrong usage, or not permitted: an option that is not known, a mount point that is missing or in use"},
		{mountSystem, "the system is out of something: no space"},
		{mountStopped, "interrupted"},
		{mountFailed, "not mounted for another reason, such as a store that is not there"},
	} {
		p.Item([]roff.Inline{roff.Bold(fmt.Sprint(c.code))}, roff.Plain(c.what))
	}
	p.Section("EXAMPLES")
	p.Paragraph(roff.Plain("Lines of /etc/fstab. A host boots without a store that is not there (nofail); mounts of a store on the network wait for it (_netdev); with x-systemd.automount it is mounted when somebody enters it."))
	p.Example(fstabExamples)
	p.Section("FILES")
	files(p)
	p.Section("SEE ALSO")
	p.Paragraph(roff.Plain("isomerfs(1), isomerfs.conf(5), mount(8), umount(8), fstab(5), systemd.mount(5)"))
	return p.String()
}

const aboutMounting = `mount.isomerfs is the program isomerfs by another name, under which mount(8) finds it in /sbin. It shows STORE, a
folder of models, at MOUNTPOINT, and returns when the mount answers; a process in the background serves it. STORE may
be written isomerfs:STORE, by which programs such as df -l and file managers take the mount for a remote one.

A mount whose daemon has died is lifted from MOUNTPOINT before the new one is made. umount(8) ends the daemon.`

const fstabExamples = `/srv/models  /mnt/models  isomerfs  ro,allow_other,nofail  0 0

isomerfs:/net/models  /mnt/models  isomerfs  ro,allow_other,nofail,_netdev,cache_dir=/scratch/isomerfs,cache_size=500G  0 0

/srv/models  /mnt/models  isomerfs  ro,allow_other,noauto,x-systemd.automount,x-systemd.requires-mounts-for=/srv  0 0`

// sampleConfig is an isomerfs.conf in which each option stands as a comment.
func sampleConfig() string {
	var b strings.Builder
	b.WriteString("# Options of every mount of isomerfs on this host: see isomerfs.conf(5).\n# Flags, -o and variables ISOMERFS_NAME win over it. In brackets stands what counts while a line is a comment.\n")
	for _, o := range options {
		value := o.value
		if value == "" {
			value = "true"
		}
		fmt.Fprintf(&b, "\n# %s\n#%s = %s\n", o.usage, o.name, value)
	}
	return b.String()
}
