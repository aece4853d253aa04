package launch

import (
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/openazureml/terraform-provider-azureml/tests/acceptance/cluster/internal/node"
	"golang.org/x/sys/unix"
)

// A state folder that one launcher owns, as long as it lives.
type state struct {
	folder string
	lock   *os.File
}

// Makes the folder if it is not there, and clears what a killed launcher left in it.
func claim(folder string) (*state, error) {
	if err := os.MkdirAll(node.Logs(folder), 0o700); err != nil {
		return nil, fmt.Errorf("the state folder: %w", err)
	}
	lock, err := os.OpenFile(lockFile(folder), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("the state folder: %w", err)
	}
	exclusive := unix.Flock_t{Type: unix.F_WRLCK}
	if err := unix.FcntlFlock(lock.Fd(), unix.F_SETLK, &exclusive); err != nil {
		lock.Close()
		return nil, fmt.Errorf("a node runs already in %s: end it (`node-up stop`), or choose another --state", folder)
	}
	claimed := &state{folder, lock}
	if err := claimed.clear(); err != nil {
		return nil, err
	}
	if err := os.RemoveAll(node.Logs(folder)); err != nil {
		return nil, err
	}
	return claimed, os.MkdirAll(node.Logs(folder), 0o700)
}

// Removes everything but the logs.
func (s *state) clear() error {
	for _, name := range []string{envFile, enterFile, "kubeconfig", "control.sock", "data"} {
		if err := os.RemoveAll(filepath.Join(s.folder, name)); err != nil {
			return fmt.Errorf("%s is left: %w", s.folder, err)
		}
	}
	return nil
}

func lockFile(folder string) string { return filepath.Join(folder, "lock") }

// The launcher that owns the folder, by its process id; 0 if there is none.
func owner(folder string) int {
	lock, err := os.OpenFile(lockFile(folder), os.O_RDWR, 0)
	if err != nil {
		return 0
	}
	defer lock.Close()
	held := unix.Flock_t{Type: unix.F_WRLCK}
	if err := unix.FcntlFlock(lock.Fd(), unix.F_GETLK, &held); err != nil || held.Type == unix.F_UNLCK {
		return 0
	}
	return int(held.Pid)
}

// Runs tells whether a launcher owns the folder.
func Runs(folder string) bool { return owner(folder) != 0 }

// Stop ends the node in folder, if there is one, and waits until it has ended.
func Stop(folder string, patience time.Duration) error {
	launcher := owner(folder)
	if launcher == 0 {
		return nil
	}
	if err := unix.Kill(launcher, unix.SIGTERM); err != nil {
		return fmt.Errorf("the launcher of the node in %s, process %d: %w", folder, launcher, err)
	}
	for deadline := time.Now().Add(patience); owner(folder) == launcher; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			return fmt.Errorf("the node in %s has not ended after %s", folder, patience)
		}
	}
	return nil
}
