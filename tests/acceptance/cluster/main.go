// node-up runs a real Kubernetes node, with a registry and Azurite, in
// namespaces of its own, for tests and to play with. README.md says how.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"syscall"

	"github.com/openazureml/terraform-provider-azureml/tests/acceptance/cluster/internal/launch"
	"github.com/openazureml/terraform-provider-azureml/tests/acceptance/cluster/internal/node"
)

const usage = `usage: node-up COMMAND

  build --sources DIR [--cache DIR]     builds the node's programs, if they are not built, and prints their folder
  check                                 says whether this machine can run a node, and if not, why
  start --state DIR --binaries DIR      runs a node until SIGTERM or SIGINT; DIR/env says where it is, when it is ready
        [--node-ports FIRST-LAST]       the range of NodePorts, each forwarded from this machine (30080-30119)
        [--background]                  returns when the node is ready
  run --state DIR --binaries DIR [--node-ports FIRST-LAST] -- PROGRAM [ARGUMENT]...
                                        runs a program with a node's DIR/env in its environment, and ends the node with it
  stop --state DIR                      ends a node
  apiserver stop|start|pause|continue --state DIR
                                        does so to the apiserver of a running node
`

// A node dies with the thread that started it: that has to be the main one.
func init() { runtime.LockOSThread() }

func main() {
	if len(os.Args) == 2 && os.Args[1] == launch.InitCommand {
		exit(node.Run())
	}
	exit(command(os.Args[1:]))
}

func exit(err error) {
	var program *exec.ExitError
	switch {
	case err == nil:
		os.Exit(0)
	case errors.Is(err, errUsage):
		fmt.Fprintf(os.Stderr, "%v\n\n%s", err, usage)
		os.Exit(2)
	case errors.As(err, &program):
		fmt.Fprintln(os.Stderr, "node-up:", err)
		os.Exit(max(1, program.ExitCode()))
	default:
		fmt.Fprintln(os.Stderr, "node-up:", err)
		os.Exit(1)
	}
}

// Done when the launcher is told to end.
func untilToldToEnd() (context.Context, context.CancelFunc) {
	return signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
}
