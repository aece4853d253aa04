package node

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"syscall"
	"time"

	"github.com/openazureml/terraform-provider-azureml/tests/acceptance/cluster/internal/supervise"
)

const (
	apiserverName  = "kube-apiserver"
	apiserverGrace = 3 * time.Second
)

// What can be asked of a running node.
func (c Config) commands(ctx context.Context, supervisor *supervise.Supervisor, client *http.Client) func([]string) error {
	ready := func() error { return wait(ctx, apiserverName, answers(client, c.server()+"/readyz")) }
	return func(words []string) error {
		switch strings.Join(words, " ") {
		case "apiserver stop":
			return supervisor.Stop(apiserverName, apiserverGrace)
		case "apiserver start":
			if err := supervisor.Start(c.apiserver()); err != nil {
				return err
			}
			return ready()
		case "apiserver pause":
			return supervisor.Signal(apiserverName, syscall.SIGSTOP)
		case "apiserver continue":
			if err := supervisor.Signal(apiserverName, syscall.SIGCONT); err != nil {
				return err
			}
			return ready()
		}
		return fmt.Errorf("the command %q is not known", words)
	}
}
