package machine

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

const (
	cgroups      = "/sys/fs/cgroup"
	cgroupPrefix = "acceptance-node-"
)

// CgroupName of the node that the launcher with this process id runs.
func CgroupName(launcher int) string { return cgroupPrefix + strconv.Itoa(launcher) }

// MakeCgroups makes the control group below which the node's pods get theirs,
// in every hierarchy there is.
func MakeCgroups(name string) error {
	roots, err := hierarchies()
	if err != nil {
		return err
	}
	for _, root := range roots {
		// Of cgroup v2: what the groups below may use.
		if available, err := os.ReadFile(filepath.Join(root, "cgroup.controllers")); err == nil {
			for controller := range strings.FieldsSeq(string(available)) {
				if err := os.WriteFile(filepath.Join(root, "cgroup.subtree_control"), []byte("+"+controller), 0); err != nil {
					return fmt.Errorf("the control groups in %s may not use %s: %w (in a container, move its processes into a group of their own first)", root, controller, err)
				}
			}
		}
		if err := os.Mkdir(filepath.Join(root, name), 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
			return fmt.Errorf("the node's control group: %w", err)
		}
	}
	return nil
}

// SweepCgroups removes the control groups of a node, and those that nodes left
// whose launcher was killed.
func SweepCgroups(name string) error {
	roots, err := hierarchies()
	if err != nil {
		return err
	}
	var failed error
	for _, root := range roots {
		groups, _ := filepath.Glob(filepath.Join(root, cgroupPrefix+"*"))
		for _, group := range groups {
			if base := filepath.Base(group); base == name || abandoned(base) {
				if err := removeGroup(group); err != nil && failed == nil {
					failed = fmt.Errorf("the control group %s is left: %w", group, err)
				}
			}
		}
	}
	return failed
}

func abandoned(name string) bool {
	pid, err := strconv.Atoi(strings.TrimPrefix(name, cgroupPrefix))
	return err == nil && errors.Is(syscall.Kill(pid, 0), syscall.ESRCH)
}

// The deepest go first. Their files go with them.
func removeGroup(group string) error {
	children, err := os.ReadDir(group)
	if err != nil {
		return err
	}
	for _, child := range children {
		if child.IsDir() {
			if err := removeGroup(filepath.Join(group, child.Name())); err != nil {
				return err
			}
		}
	}
	return syscall.Rmdir(group)
}

func hierarchies() ([]string, error) {
	mounts, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		return nil, fmt.Errorf("the list of mounts: %w", err)
	}
	var found []string
	for line := range strings.Lines(string(mounts)) {
		fields := strings.Fields(line)
		if len(fields) > 2 && (fields[2] == "cgroup" || fields[2] == "cgroup2") && strings.HasPrefix(fields[1], cgroups) {
			found = append(found, fields[1])
		}
	}
	if len(found) == 0 {
		return nil, fmt.Errorf("there are no control groups below %s: mount them", cgroups)
	}
	return found, nil
}
