package main

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"github.com/isomerfs/isomerfs/fault"
)

func runCommand() *cobra.Command {
	var quiet bool
	cmd := &cobra.Command{
		Use:     "run -- COMMAND [ARGUMENT...]",
		Short:   "start a program once the views it is given are converted",
		GroupID: groupMount,
		Long: `Converts every view of a mount that is among the words of COMMAND, waits until they are sealed, and
becomes COMMAND. The views stay in the cache until it ends, however full that is: it holds them open.
A folder stands for all files in it. Words of the form NAME=VIEW and --NAME=VIEW count too.`,
		Example: `  isomerfs run -- llama-server -m /mnt/models/llama/latest/gguf/Q4_K_M/model.gguf
  isomerfs run -- python serve.py --model=/mnt/models/bert/v3/onnx/fp16`,
		Args: arguments(-1, "COMMAND"),
	}
	cmd.Flags().BoolVarP(&quiet, "quiet", "q", false, "show no progress")
	cmd.Flags().SetInterspersed(false)
	cmd.RunE = func(cmd *cobra.Command, args []string) error { return runProgram(cmd.Context(), args, quiet) }
	return cmd
}

// runProgram becomes the program, with descriptors of the views that it is given.
func runProgram(ctx context.Context, words []string, quiet bool) error {
	program, err := exec.LookPath(words[0])
	if err != nil {
		return fault.In(words[0], fault.New(fault.Absent, "is no program that can be found"))
	}
	all, err := mounts()
	if err != nil {
		return err
	}
	for _, view := range viewsAmong(all, words[1:]) {
		if err := warmOne(ctx, all, view, quiet); err != nil {
			return err
		}
		if err := holdOpen(view); err != nil {
			return err
		}
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	return placed(program, syscall.Exec(program, words, os.Environ()))
}

// viewsAmong are the words that lie in a mount, each once.
func viewsAmong(all []mount, words []string) (views []string) {
	seen := map[string]bool{}
	for _, word := range words {
		for _, part := range []string{word, afterEquals(word)} {
			if part == "" || seen[part] {
				continue
			}
			if _, rest, ok := inMount(all, part); !ok || rest == "" {
				continue
			}
			if _, err := os.Stat(part); err != nil { // a path that the program would make, or a word that looks like one
				continue
			}
			seen[part] = true
			views = append(views, part)
			break
		}
	}
	return views
}

func afterEquals(word string) string {
	_, after, _ := strings.Cut(word, "=")
	return after
}

// mostHeld bounds the descriptors of a folder's files.
const mostHeld = 256

// holdOpen opens a view, or the files of a folder, and leaves them open across exec.
func holdOpen(view string) error {
	info, err := os.Stat(view)
	if err != nil {
		return placed(view, err)
	}
	files := []string{view}
	if info.IsDir() {
		files = nil
		err := filepath.WalkDir(view, func(path string, d os.DirEntry, err error) error {
			if err == nil && d.Type().IsRegular() && len(files) < mostHeld {
				files = append(files, path)
			}
			return err
		})
		if err != nil {
			return placed(view, err)
		}
	}
	for _, path := range files {
		f, err := openView(path)
		if err != nil {
			return err
		}
		fd, err := unix.FcntlInt(f.Fd(), unix.F_DUPFD, 10) // without close-on-exec, and out of the way of 0 to 9
		f.Close()
		if err != nil || fd < 0 {
			return placed(path, err)
		}
	}
	return nil
}
