// Package node runs a Kubernetes node inside the namespaces that its process
// was started in: it prepares them, starts every component, tells when all is
// ready, and ends when a component does.
package node

import (
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
)

// Name of the node in its cluster.
const Name = "node-1"

// AzuritePort is where Azurite listens inside the node.
const AzuritePort = 10000

// Config is what the launcher tells the process that runs the node.
type Config struct {
	// State is the node's folder, Binaries the one of the built programs.
	State, Binaries string
	// Cgroup is the name of the node's control group.
	Cgroup string
	// APIServerPort and RegistryPort are the same on the machine's loopback and the node's.
	APIServerPort, RegistryPort int
	// NodePorts is the range that Services of type NodePort get their ports from.
	NodePorts PortRange
	// Targets are the addresses that the inherited listeners forward to, in their order.
	Targets []string
}

// PortRange of TCP ports, both ends included.
type PortRange struct{ First, Last int }

// ParsePortRange reads "FIRST-LAST".
func ParsePortRange(text string) (PortRange, error) {
	first, last, found := strings.Cut(text, "-")
	low, lowErr := strconv.Atoi(first)
	high, highErr := strconv.Atoi(last)
	if !found || lowErr != nil || highErr != nil || low < 1 || low > high || high > 65535 {
		return PortRange{}, fmt.Errorf("%q is no range of ports such as 30080-30119", text)
	}
	if high-low >= 1000 {
		return PortRange{}, fmt.Errorf("the range %s has more than 1000 ports, and each needs a port of this machine", text)
	}
	return PortRange{low, high}, nil
}

func (r PortRange) String() string { return fmt.Sprintf("%d-%d", r.First, r.Last) }

// Data is the folder below which everything is that ends with the node.
func Data(state string, below ...string) string {
	return filepath.Join(append([]string{state, "data"}, below...)...)
}

// Logs is the folder of the components' logs.
func Logs(state string) string { return filepath.Join(state, "log") }

// PKI is the folder of the certificates.
func PKI(state string) string { return Data(state, "pki") }

// Kubeconfig of the cluster's administrator.
func Kubeconfig(state string) string { return filepath.Join(state, "kubeconfig") }

func (c Config) data(below ...string) string { return Data(c.State, below...) }

func (c Config) pki(file string) string { return filepath.Join(PKI(c.State), file) }

func (c Config) program(name string) string { return filepath.Join(c.Binaries, name) }

func (c Config) server() string { return fmt.Sprintf("https://127.0.0.1:%d", c.APIServerPort) }

// Sockets listen here inside the node: no outgoing connection may take these ports.
func (c Config) reservedPorts() string {
	return fmt.Sprintf("%d,%d,%d,%s", c.APIServerPort, c.RegistryPort, AzuritePort, c.NodePorts)
}
