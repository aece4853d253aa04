// Package machine prepares what a node's processes take for their machine:
// mounts, network, and control groups, none of which the real machine sees.
package machine

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// Settings of the kernel that kubelet would change for the whole machine. It
// finds them as it wants them, in files that lie over the real ones.
var settings = map[string]string{
	"kernel/panic":              "10",
	"kernel/panic_on_oops":      "1",
	"kernel/keys/root_maxkeys":  "1000000",
	"kernel/keys/root_maxbytes": "25000000",
	"vm/overcommit_memory":      "1",
	"vm/panic_on_oom":           "0",
}

// Mounts makes the mount namespace of this process independent of the machine's,
// with /proc of this process namespace and empty /run and /var/log. What is
// written below /var/lib is kept in memory, except in state, the node's folder.
func Mounts(state string) error {
	steps := []struct {
		source, target, kind string
		flags                uintptr
		data                 string
	}{
		{"", "/", "", unix.MS_REC | unix.MS_PRIVATE, ""},
		{"", "/", "", unix.MS_REC | unix.MS_SHARED, ""},
		{"proc", "/proc", "proc", unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC, ""},
		{"run", "/run", "tmpfs", unix.MS_NOSUID | unix.MS_NODEV, "mode=755"},
		{"log", "/var/log", "tmpfs", unix.MS_NOSUID | unix.MS_NODEV, "mode=755"},
	}
	for _, step := range steps {
		if err := unix.Mount(step.source, step.target, step.kind, step.flags, step.data); err != nil {
			return fmt.Errorf("the mount of %s: %w", step.target, err)
		}
	}
	if err := coverVarLib(state); err != nil {
		return err
	}
	return coverSettings()
}

func coverVarLib(state string) error {
	const library = "/var/lib"
	kept, err := unix.Open(state, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("%s: %w", state, err)
	}
	defer unix.Close(kept)
	for _, folder := range []string{"/run/var-lib/changes", "/run/var-lib/work"} {
		if err := os.MkdirAll(folder, 0o755); err != nil {
			return err
		}
	}
	options := "lowerdir=" + library + ",upperdir=/run/var-lib/changes,workdir=/run/var-lib/work"
	if err := unix.Mount("var-lib", library, "overlay", 0, options); err != nil {
		return fmt.Errorf("the mount of %s: %w (is the kernel's module overlay there?)", library, err)
	}
	if !strings.HasPrefix(state, library+"/") {
		return nil
	}
	if err := unix.Mount(fmt.Sprintf("/proc/self/fd/%d", kept), state, "", unix.MS_BIND, ""); err != nil {
		return fmt.Errorf("the mount of %s: %w", state, err)
	}
	return nil
}

func coverSettings() error {
	for name, value := range settings {
		cover := filepath.Join("/run/settings", name)
		if err := os.MkdirAll(filepath.Dir(cover), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(cover, []byte(value+"\n"), 0o644); err != nil {
			return err
		}
		target := filepath.Join("/proc/sys", name)
		if _, err := os.Stat(target); err != nil {
			continue
		}
		if err := unix.Mount(cover, target, "", unix.MS_BIND, ""); err != nil {
			return fmt.Errorf("the mount of %s: %w", target, err)
		}
	}
	return nil
}
