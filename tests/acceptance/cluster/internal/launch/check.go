package launch

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"

	"golang.org/x/sys/unix"
)

// Check says why this machine cannot run a node, if it cannot.
func Check() error {
	if runtime.GOOS != "linux" {
		return fmt.Errorf("a node needs Linux, and this is %s", runtime.GOOS)
	}
	if os.Geteuid() != 0 {
		return errors.New("a node needs root, for namespaces, mounts and control groups")
	}
	if err := mayUnshare(); err != nil {
		return err
	}
	for program, why := range map[string]string{
		"iptables": "which routes Services; install the package iptables",
		"node":     "which runs Azurite; install Node.js from https://nodejs.org",
		"nsenter":  "which enters the node; install the package util-linux",
	} {
		if _, err := exec.LookPath(program); err != nil {
			return fmt.Errorf("a node needs %s, %s", program, why)
		}
	}
	return nil
}

// Root in a container may be denied what it needs.
func mayUnshare() error {
	result := make(chan error)
	go func() {
		// Locked and not unlocked: the thread ends with the goroutine.
		runtime.LockOSThread()
		result <- unix.Unshare(unix.CLONE_NEWNET | unix.CLONE_NEWNS)
	}()
	if err := <-result; err != nil {
		return fmt.Errorf("a node needs namespaces of its own, and this root may make none: %w", err)
	}
	return nil
}

// Says which of the built programs is missing.
func checkBinaries(folder string) error {
	for _, name := range []string{"kubernetes", "containerd", "containerd-shim-runc-v2", "ctr", "runc", "registry", "bridge", "pause.tar", "azurite"} {
		if _, err := os.Stat(filepath.Join(folder, name)); err != nil {
			return fmt.Errorf("%s is no built node: %w (`make cluster-build` builds one and prints its folder)", folder, err)
		}
	}
	return nil
}

// The folder's name gets into files and mount options that have no quotes.
func checkState(folder string) error {
	if strings.ContainsFunc(folder, func(r rune) bool { return r <= ' ' || r > '~' || strings.ContainsRune(`:,"'\`, r) }) {
		return fmt.Errorf("the state folder %q may have no spaces, colons, commas or quotes in its name", folder)
	}
	return nil
}
