// Package supervise runs the components of a node below a process that is the
// first of its process namespace: it starts and ends them, and collects every
// process that is left to it.
package supervise

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"time"
)

// Component is a program that runs as long as the node.
type Component struct {
	// Name says which component this is in messages and names its log.
	Name string
	// Program and its arguments; a Program without a slash is looked for on the PATH.
	Program string
	Args    []string
	// Env in addition to the supervisor's environment, as KEY=VALUE.
	Env []string
}

// Death tells that a component has ended though nobody asked for it.
type Death struct {
	Name   string
	Status syscall.WaitStatus
}

type process struct {
	pid    int
	wanted bool
	ended  chan syscall.WaitStatus
}

// Supervisor holds the running components. Make one with New.
type Supervisor struct {
	logs   string
	deaths chan Death
	mutex  sync.Mutex
	byName map[string]*process
	byPid  map[int]*process
}

// New starts to collect processes that end. Components write their logs into
// the folder logs.
func New(logs string) *Supervisor {
	s := &Supervisor{
		logs:   logs,
		deaths: make(chan Death, 16),
		byName: map[string]*process{},
		byPid:  map[int]*process{},
	}
	go s.collect()
	return s
}

// Deaths are told here as they happen.
func (s *Supervisor) Deaths() <-chan Death { return s.deaths }

// Start runs a component. It must not run yet.
func (s *Supervisor) Start(component Component) error {
	s.mutex.Lock()
	running := s.byName[component.Name]
	s.mutex.Unlock()
	if running != nil {
		return fmt.Errorf("%s runs already", component.Name)
	}
	process, err := s.spawn(component)
	if err != nil {
		return err
	}
	s.mutex.Lock()
	s.byName[component.Name] = process
	s.mutex.Unlock()
	go func() {
		status := <-process.ended
		s.mutex.Lock()
		delete(s.byName, component.Name)
		wanted := process.wanted
		s.mutex.Unlock()
		if !wanted {
			s.deaths <- Death{component.Name, status}
		}
	}()
	return nil
}

// Run starts a program and waits until it has ended well.
func (s *Supervisor) Run(component Component) error {
	process, err := s.spawn(component)
	if err != nil {
		return err
	}
	if status := <-process.ended; !status.Exited() || status.ExitStatus() != 0 {
		return fmt.Errorf("%s %s:\n%s", component.Name, Describe(status), s.Tail(component.Name, 10))
	}
	return nil
}

// Signal a running component.
func (s *Supervisor) Signal(name string, signal syscall.Signal) error {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	running := s.byName[name]
	if running == nil {
		return fmt.Errorf("%s does not run", name)
	}
	return syscall.Kill(running.pid, signal)
}

// Stop ends a component: it may take grace to end by itself. Done when it has ended.
func (s *Supervisor) Stop(name string, grace time.Duration) error {
	s.mutex.Lock()
	running := s.byName[name]
	if running == nil {
		s.mutex.Unlock()
		return fmt.Errorf("%s does not run", name)
	}
	running.wanted = true
	_ = syscall.Kill(running.pid, syscall.SIGTERM)
	_ = syscall.Kill(running.pid, syscall.SIGCONT)
	s.mutex.Unlock()
	for deadline := time.Now().Add(grace); ; time.Sleep(10 * time.Millisecond) {
		s.mutex.Lock()
		over := s.byName[name] != running
		if !over && time.Now().After(deadline) {
			_ = syscall.Kill(running.pid, syscall.SIGKILL)
		}
		s.mutex.Unlock()
		if over {
			return nil
		}
	}
}

// The lock is held from before the process exists until it is known, so that
// collect never meets a process that is not known yet.
func (s *Supervisor) spawn(component Component) (*process, error) {
	program, err := exec.LookPath(component.Program)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", component.Name, err)
	}
	log, err := os.OpenFile(s.log(component.Name), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, fmt.Errorf("the log of %s: %w", component.Name, err)
	}
	defer log.Close()
	none, err := os.Open(os.DevNull)
	if err != nil {
		return nil, err
	}
	defer none.Close()
	s.mutex.Lock()
	defer s.mutex.Unlock()
	pid, err := syscall.ForkExec(program, append([]string{component.Program}, component.Args...), &syscall.ProcAttr{
		Env:   append(os.Environ(), component.Env...),
		Files: []uintptr{none.Fd(), log.Fd(), log.Fd()},
		Sys:   &syscall.SysProcAttr{Setsid: true},
	})
	if err != nil {
		return nil, fmt.Errorf("%s: cannot run %s: %w", component.Name, program, err)
	}
	started := &process{pid: pid, ended: make(chan syscall.WaitStatus, 1)}
	s.byPid[pid] = started
	return started, nil
}

func (s *Supervisor) log(name string) string { return filepath.Join(s.logs, name+".log") }
