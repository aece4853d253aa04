package supervise

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
)

// Collects children and, as the first process of the namespace, everybody's
// orphans, such as the containers' shims.
func (s *Supervisor) collect() {
	children := make(chan os.Signal, 1)
	signal.Notify(children, syscall.SIGCHLD)
	for {
		var status syscall.WaitStatus
		pid, err := syscall.Wait4(-1, &status, 0, nil)
		switch {
		case errors.Is(err, syscall.EINTR):
		case err != nil: // There is no child at present.
			<-children
		default:
			s.mutex.Lock()
			ended := s.byPid[pid]
			delete(s.byPid, pid)
			s.mutex.Unlock()
			if ended != nil {
				ended.ended <- status
			}
		}
	}
}

// Describe how a process ended, such as "exited with status 1".
func Describe(status syscall.WaitStatus) string {
	if status.Signaled() {
		return fmt.Sprintf("was ended by signal %d (%s)", status.Signal(), status.Signal())
	}
	return fmt.Sprintf("exited with status %d", status.ExitStatus())
}

// Tail returns the last lines of a component's log.
func (s *Supervisor) Tail(name string, lines int) string {
	const most = 16 << 10
	file, err := os.Open(s.log(name))
	if err != nil {
		return err.Error()
	}
	defer file.Close()
	if size, err := file.Seek(0, io.SeekEnd); err == nil {
		_, _ = file.Seek(max(0, size-most), io.SeekStart)
	}
	content, err := io.ReadAll(io.LimitReader(file, most))
	if err != nil {
		return err.Error()
	}
	all := strings.Split(strings.TrimSpace(string(content)), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}
