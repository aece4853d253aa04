package launch

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/openazureml/terraform-provider-azureml/tests/acceptance/cluster/internal/machine"
	"github.com/openazureml/terraform-provider-azureml/tests/acceptance/cluster/internal/node"
)

const (
	envFile   = "env"
	enterFile = "enter"
	account   = "devstoreaccount1"
)

// EnvFile of the node whose state is in folder. It is there when the node is ready.
func EnvFile(folder string) string { return filepath.Join(folder, envFile) }

// Where a node can be reached, as lines of KEY=VALUE.
func (n *running) env() []string {
	var ports []string
	for inside, outside := range n.nodePorts {
		ports = append(ports, fmt.Sprintf("%d:%d", n.config.NodePorts.First+inside, outside))
	}
	return []string{
		"KUBECONFIG=" + node.Kubeconfig(n.state.folder),
		fmt.Sprintf("REGISTRY=127.0.0.1:%d", n.config.RegistryPort),
		fmt.Sprintf("AZURITE_URL=http://127.0.0.1:%d/%s", n.azuritePort, account),
		fmt.Sprintf("AZURITE_URL_IN_CLUSTER=http://%s:%d/%s", machine.Address, node.AzuritePort, account),
		"NODE_PORT_HOST=127.0.0.1",
		"NODE_PORTS=" + strings.Join(ports, ","),
		"NODE_ADDRESS_IN_CLUSTER=" + machine.Address,
		"ENTER=" + filepath.Join(n.state.folder, enterFile),
		"NODE_UP=" + n.program,
		"NODE_STATE=" + n.state.folder,
	}
}

func (n *running) publish() error {
	enter := fmt.Sprintf("#!/bin/sh\n# Runs a program, or a shell, in the node's network.\n[ $# -gt 0 ] || set -- \"${SHELL:-/bin/sh}\"\nexec nsenter --net=/proc/%d/ns/net -- \"$@\"\n", n.init.Process.Pid)
	if err := os.WriteFile(filepath.Join(n.state.folder, enterFile), []byte(enter), 0o700); err != nil {
		return err
	}
	unfinished := EnvFile(n.state.folder) + ".new"
	if err := os.WriteFile(unfinished, []byte(strings.Join(n.env(), "\n")+"\n"), 0o600); err != nil {
		return err
	}
	return os.Rename(unfinished, EnvFile(n.state.folder))
}

// ReadEnv returns the lines of a running node's file.
func ReadEnv(folder string) ([]string, error) {
	content, err := os.ReadFile(EnvFile(folder))
	if err != nil {
		return nil, err
	}
	return strings.Split(strings.TrimSpace(string(content)), "\n"), nil
}
