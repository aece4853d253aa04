// Package launch starts a node from outside: it makes the node's namespaces,
// keeps the sockets by which the machine reaches into them, and clears up.
package launch

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"

	"github.com/openazureml/terraform-provider-azureml/tests/acceptance/cluster/internal/machine"
	"github.com/openazureml/terraform-provider-azureml/tests/acceptance/cluster/internal/node"
)

// InitCommand is the argument by which this program runs as a node's first process.
const InitCommand = "init"

// Options of a node.
type Options struct {
	// State is the node's folder: what it writes is in there, and nowhere else.
	State string
	// Binaries is the folder of the built programs.
	Binaries string
	// NodePorts is the range of NodePorts, each of which gets a port of this machine.
	NodePorts node.PortRange
}

type running struct {
	config      node.Config
	state       *state
	program     string
	init        *exec.Cmd
	listeners   []*os.File
	azuritePort int
	nodePorts   []int
}

// Run starts a node, calls use with its env lines when it is ready, and ends the
// node when use returns or ctx is done. It fails when the node ends before that.
// The calling goroutine has to be locked to a thread that lives as long as the
// process, as the node dies with it.
func Run(ctx context.Context, options Options, use func(ctx context.Context, env []string) error) (err error) {
	if err := Check(); err != nil {
		return err
	}
	if err := errors.Join(checkState(options.State), checkBinaries(options.Binaries)); err != nil {
		return err
	}
	claimed, err := claim(options.State)
	if err != nil {
		return err
	}
	defer claimed.lock.Close()
	n := &running{state: claimed, config: node.Config{
		State:     options.State,
		Binaries:  options.Binaries,
		Cgroup:    machine.CgroupName(os.Getpid()),
		NodePorts: options.NodePorts,
	}}
	defer func() { err = errors.Join(err, n.clear()) }()
	if err := n.listen(); err != nil {
		return err
	}
	if err := machine.SweepCgroups(""); err != nil {
		fmt.Fprintln(os.Stderr, "node: of an earlier node:", err)
	}
	if err := machine.MakeCgroups(n.config.Cgroup); err != nil {
		return err
	}
	if err := n.config.Issue(); err != nil {
		return err
	}
	return n.live(ctx, use)
}

func (n *running) live(ctx context.Context, use func(context.Context, []string) error) error {
	lifeline, ready, err := n.spawn()
	if err != nil {
		return err
	}
	defer lifeline.Close()
	ended := make(chan error, 1)
	go func() { ended <- n.init.Wait() }()
	defer func() {
		_ = n.init.Process.Kill()
		<-ended
	}()
	if err := json.NewEncoder(lifeline).Encode(n.config); err != nil {
		return fmt.Errorf("the node's first process: %w", err)
	}
	started := make(chan error, 1)
	go func() {
		_, err := io.ReadFull(ready, make([]byte, 1))
		started <- err
	}()
	dead := func(err error) error {
		ended <- err
		return fmt.Errorf("the node has ended by itself: its reason is above, its logs are in %s", node.Logs(n.state.folder))
	}
	select {
	case <-ctx.Done():
		return nil
	case err := <-started:
		if err != nil {
			return dead(<-ended)
		}
	case err := <-ended:
		return dead(err)
	}
	if err := n.publish(); err != nil {
		return fmt.Errorf("the file that says where the node is: %w", err)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	used := make(chan error, 1)
	go func() { used <- use(ctx, n.env()) }()
	select {
	case err := <-used:
		return err
	case err := <-ended:
		cancel()
		<-used
		return dead(err)
	}
}

// The listeners are made here, in the machine's network, and inherited by the
// node's first process, which dials in the node's.
func (n *running) listen() error {
	add := func(target func(port int) string) (int, error) {
		listener, err := net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
		if err != nil {
			return 0, fmt.Errorf("a port of this machine: %w", err)
		}
		defer listener.Close()
		file, err := listener.File()
		if err != nil {
			return 0, fmt.Errorf("a port of this machine: %w", err)
		}
		port := listener.Addr().(*net.TCPAddr).Port
		n.listeners = append(n.listeners, file)
		n.config.Targets = append(n.config.Targets, target(port))
		return port, nil
	}
	same := func(port int) string { return fmt.Sprintf("127.0.0.1:%d", port) }
	var err error
	if n.config.APIServerPort, err = add(same); err != nil {
		return err
	}
	if n.config.RegistryPort, err = add(same); err != nil {
		return err
	}
	if n.azuritePort, err = add(func(int) string { return same(node.AzuritePort) }); err != nil {
		return err
	}
	for inside := n.config.NodePorts.First; inside <= n.config.NodePorts.Last; inside++ {
		port, err := add(func(int) string { return fmt.Sprintf("%s:%d", machine.Address, inside) })
		if err != nil {
			return err
		}
		n.nodePorts = append(n.nodePorts, port)
	}
	return nil
}

// Returns the end of the pipe that the node lives by, and the one that tells
// when it is ready.
func (n *running) spawn() (lifeline, ready *os.File, err error) {
	if n.program, err = os.Executable(); err != nil {
		return nil, nil, err
	}
	theirs, lifeline, err := os.Pipe()
	if err != nil {
		return nil, nil, err
	}
	ready, tell, err := os.Pipe()
	if err != nil {
		return nil, nil, err
	}
	n.init = exec.Command(n.program, InitCommand)
	n.init.Stderr = os.Stderr
	n.init.ExtraFiles = append([]*os.File{theirs, tell}, n.listeners...)
	n.init.SysProcAttr = &syscall.SysProcAttr{
		// What is typed at a terminal is for the launcher.
		Setsid:     true,
		Cloneflags: syscall.CLONE_NEWNET | syscall.CLONE_NEWPID | syscall.CLONE_NEWNS | syscall.CLONE_NEWIPC | syscall.CLONE_NEWUTS,
		// With the first process of its process namespace, everything in the node dies.
		Pdeathsig: syscall.SIGKILL,
	}
	err = n.init.Start()
	for _, file := range n.init.ExtraFiles {
		file.Close()
	}
	if err != nil {
		return nil, nil, fmt.Errorf("the node's namespaces: %w", err)
	}
	return lifeline, ready, nil
}

func (n *running) clear() error {
	return errors.Join(machine.SweepCgroups(n.config.Cgroup), n.state.clear())
}

// A socket's name has 107 bytes at most, and this is the longest below a node's folder: the kubelet's, before it is renamed.
const longestFolder = 107 - len("/data/kubelet/pod-resources/4294967295")

// Absolute is the folder's full name, without links.
func Absolute(folder string) (string, error) {
	full, err := filepath.Abs(folder)
	if err != nil {
		return "", err
	}
	if err := os.MkdirAll(full, 0o700); err != nil {
		return "", err
	}
	full, err = filepath.EvalSymlinks(full)
	if err == nil && len(full) > longestFolder {
		err = fmt.Errorf("%s is too long a name for a node's folder, whose sockets have names of 107 bytes at most: choose one of no more than %d", full, longestFolder)
	}
	return full, err
}
