package node

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"syscall"
	"time"

	"github.com/openazureml/terraform-provider-azureml/tests/acceptance/cluster/internal/control"
	"github.com/openazureml/terraform-provider-azureml/tests/acceptance/cluster/internal/forward"
	"github.com/openazureml/terraform-provider-azureml/tests/acceptance/cluster/internal/machine"
	"github.com/openazureml/terraform-provider-azureml/tests/acceptance/cluster/internal/supervise"
)

// What the process that runs a node inherits from its launcher.
const (
	// Lifeline carries a Config as JSON, and then nothing: it ends with the launcher.
	Lifeline = 3
	// Readiness takes one byte when everything is ready.
	Readiness = 4
	// FirstListener is the first of the listeners of Config.Targets.
	FirstListener = 5
)

// Run is the life of a node. It returns when the node cannot go on.
func Run() error {
	if os.Getpid() != 1 {
		return errors.New("this is run by `start`, in namespaces of its own")
	}
	syscall.CloseOnExec(Lifeline)
	syscall.CloseOnExec(Readiness)
	lifeline := os.NewFile(Lifeline, "lifeline")
	readiness := os.NewFile(Readiness, "readiness")
	messages := json.NewDecoder(lifeline)
	var config Config
	if err := messages.Decode(&config); err != nil {
		return fmt.Errorf("what the launcher wants: %w", err)
	}
	go func() {
		_, _ = io.Copy(io.Discard, lifeline)
		os.Exit(1)
	}()
	if err := config.prepare(); err != nil {
		return err
	}
	supervisor := supervise.New(Logs(config.State))
	failed := make(chan error, 1)
	go func() {
		if err := config.start(context.Background(), supervisor); err != nil {
			failed <- err
			return
		}
		if _, err := readiness.Write([]byte{1}); err != nil {
			failed <- err
		}
		readiness.Close()
	}()
	select {
	case err := <-failed:
		return err
	case death := <-supervisor.Deaths():
		return fmt.Errorf("%s %s, and the node ends with it. The last lines of its log:\n%s",
			death.Name, supervise.Describe(death.Status), supervisor.Tail(death.Name, 20))
	}
}

func (c Config) prepare() error {
	if err := machine.Mounts(c.State); err != nil {
		return err
	}
	if err := machine.Network(c.reservedPorts()); err != nil {
		return err
	}
	if err := syscall.Sethostname([]byte(Name)); err != nil {
		return fmt.Errorf("the host name: %w", err)
	}
	if err := os.Setenv("PATH", c.Binaries+":"+os.Getenv("PATH")); err != nil {
		return err
	}
	return c.writeFiles()
}

func (c Config) start(ctx context.Context, supervisor *supervise.Supervisor) error {
	for number, target := range c.Targets {
		file := os.NewFile(uintptr(FirstListener+number), target)
		listener, err := net.FileListener(file)
		if err != nil {
			return fmt.Errorf("the listener for %s: %w", target, err)
		}
		file.Close()
		go forward.Serve(listener, target)
	}
	for _, component := range []supervise.Component{c.etcd(), c.containerd(), c.registry(), c.azurite()} {
		if err := supervisor.Start(component); err != nil {
			return err
		}
	}
	// An apiserver that finds no etcd waits long before it tries again.
	if err := wait(ctx, "etcd", accepts("tcp", etcdAddress)); err != nil {
		return err
	}
	if err := supervisor.Start(c.apiserver()); err != nil {
		return err
	}
	client, err := c.client()
	if err != nil {
		return err
	}
	if err := wait(ctx, "containerd", accepts("unix", containerdSocket)); err != nil {
		return err
	}
	if err := supervisor.Run(c.importPause()); err != nil {
		return err
	}
	if err := wait(ctx, "kube-apiserver", answers(client, c.server()+"/readyz")); err != nil {
		return err
	}
	progress("kube-apiserver is ready")
	for _, component := range []supervise.Component{c.kubelet(), c.controllerManager(), c.scheduler(), c.proxy()} {
		if err := supervisor.Start(component); err != nil {
			return err
		}
	}
	if err := control.Serve(c.State, c.commands(ctx, supervisor, client)); err != nil {
		return err
	}
	plain := &http.Client{Timeout: 5 * time.Second}
	for _, part := range []struct {
		what  string
		check func() error
	}{
		{"the registry", answers(plain, fmt.Sprintf("http://127.0.0.1:%d/v2/", c.RegistryPort))},
		{"Azurite", accepts("tcp", fmt.Sprintf("127.0.0.1:%d", AzuritePort))},
		{"the node", c.nodeIsReady(client)},
		{"kube-proxy", answers(plain, "http://"+proxyHealth+"/healthz")},
		// Without it no pod is admitted.
		{"the default service account", answers(client, c.server()+"/api/v1/namespaces/default/serviceaccounts/default")},
	} {
		if err := wait(ctx, part.what, part.check); err != nil {
			return err
		}
		progress(part.what + " is ready")
	}
	return nil
}

var started = time.Now()

func progress(text string) {
	fmt.Fprintf(os.Stderr, "node: %s after %.1f s\n", text, time.Since(started).Seconds())
}
