// Package assemble builds the programs of a node from their Go modules, and
// keeps them in a cache by the hash of what they are built from.
package assemble

import (
	"crypto/sha256"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"
)

// Build returns the folder of the programs that the sources, which is the folder
// tests/acceptance/cluster, are built to. It builds them unless they are in the
// cache: by default the one of terraform-provider-azureml in the user's cache
// folder. Only one build runs at a time.
func Build(sources, cache string) (string, error) {
	if cache == "" {
		folder, err := os.UserCacheDir()
		if err != nil {
			return "", fmt.Errorf("the cache's folder: %w", err)
		}
		cache = filepath.Join(folder, "terraform-provider-azureml")
	}
	cache, err := filepath.Abs(cache)
	if err != nil {
		return "", err
	}
	sum, err := hash(sources)
	if err != nil {
		return "", fmt.Errorf("the sources of the node: %w", err)
	}
	built := filepath.Join(cache, "cluster-"+sum)
	if used(built) {
		return built, nil
	}
	if err := os.MkdirAll(cache, 0o755); err != nil {
		return "", err
	}
	lock, err := os.OpenFile(filepath.Join(cache, "cluster.lock"), os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return "", err
	}
	defer lock.Close()
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
		return "", fmt.Errorf("the lock of the cache: %w", err)
	}
	if used(built) {
		return built, nil
	}
	unfinished := filepath.Join(cache, "unfinished-cluster")
	if err := os.RemoveAll(unfinished); err != nil {
		return "", err
	}
	progress("building the node's programs, which takes minutes the first time")
	if err := all(sources, unfinished); err != nil {
		return "", err
	}
	return built, os.Rename(unfinished, built)
}

// What is used is young: old builds can be told by their time.
func used(built string) bool {
	now := time.Now()
	return os.Chtimes(built, now, now) == nil
}

func all(sources, into string) error {
	if err := os.MkdirAll(into, 0o755); err != nil {
		return err
	}
	if err := needs(); err != nil {
		return err
	}
	for _, module := range modules {
		started := time.Now()
		if err := module.build(filepath.Join(sources, module.folder), into); err != nil {
			return fmt.Errorf("%s: %w", module.folder, err)
		}
		progress(fmt.Sprintf("built %s in %.0f s", module.folder, time.Since(started).Seconds()))
	}
	if err := pause(sources, into); err != nil {
		return fmt.Errorf("the pause image: %w", err)
	}
	if err := azurite(sources, filepath.Join(into, "azurite")); err != nil {
		return fmt.Errorf("azurite: %w", err)
	}
	return nil
}

func needs() error {
	for program, why := range map[string]string{
		"go":         "Install Go from https://go.dev/dl",
		"cc":         "Install a C compiler, for runc",
		"npm":        "Install Node.js with npm from https://nodejs.org, for Azurite",
		"pkg-config": "Install it, for runc",
	} {
		if _, err := exec.LookPath(program); err != nil {
			return fmt.Errorf("%s is missing. %s", program, why)
		}
	}
	if exec.Command("pkg-config", "--exists", "libseccomp").Run() != nil {
		return fmt.Errorf("the headers of libseccomp are missing, for runc. Install libseccomp-dev")
	}
	return nil
}

// Of the sources, the compiler, and the machine they are built for.
func hash(sources string) (string, error) {
	version, err := exec.Command("go", "env", "GOVERSION").Output()
	if err != nil {
		return "", fmt.Errorf("go env: %w (install Go from https://go.dev/dl)", err)
	}
	sum := sha256.New()
	fmt.Fprintln(sum, strings.TrimSpace(string(version)), runtime.GOOS, runtime.GOARCH)
	folders := others
	for _, module := range modules {
		folders = append(folders, module.folder)
	}
	for _, folder := range folders {
		root := filepath.Join(sources, folder)
		err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
			if err != nil || entry.IsDir() {
				return err
			}
			content, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			name, err := filepath.Rel(sources, path)
			fmt.Fprintf(sum, "%s %x\n", name, sha256.Sum256(content))
			return err
		})
		if err != nil {
			return "", err
		}
	}
	return fmt.Sprintf("%x", sum.Sum(nil))[:16], nil
}

func progress(text string) { fmt.Fprintln(os.Stderr, "node-up: "+text) }
