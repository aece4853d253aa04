package node

import (
	"fmt"
	"strconv"

	"github.com/openazureml/terraform-provider-azureml/tests/acceptance/cluster/internal/machine"
	"github.com/openazureml/terraform-provider-azureml/tests/acceptance/cluster/internal/supervise"
)

const (
	etcdAddress      = "127.0.0.1:2379"
	etcdURL          = "http://" + etcdAddress
	etcdPeers        = "http://127.0.0.1:2380"
	containerdSocket = "/run/containerd/containerd.sock"
	// Who passes requests on in the name of users.
	frontProxy  = "front-proxy-client"
	proxyHealth = "127.0.0.1:10256"
	issuer      = "https://kubernetes.default.svc.cluster.local"
)

func (c Config) kubernetes(name string, flags ...string) supervise.Component {
	return supervise.Component{Name: name, Program: c.program("kubernetes"), Args: append([]string{name}, flags...)}
}

func (c Config) etcd() supervise.Component {
	return c.kubernetes("etcd",
		"--name=node",
		"--data-dir="+c.data("etcd"),
		"--listen-client-urls="+etcdURL,
		"--advertise-client-urls="+etcdURL,
		"--listen-peer-urls="+etcdPeers,
		"--initial-advertise-peer-urls="+etcdPeers,
		"--initial-cluster=node="+etcdPeers,
		// The data are thrown away with the node.
		"--unsafe-no-fsync",
	)
}

func (c Config) apiserver() supervise.Component {
	return c.kubernetes("kube-apiserver",
		"--etcd-servers="+etcdURL,
		"--bind-address=0.0.0.0",
		"--advertise-address="+machine.Address,
		"--secure-port="+strconv.Itoa(c.APIServerPort),
		"--tls-cert-file="+c.pki("apiserver.crt"),
		"--tls-private-key-file="+c.pki("apiserver.key"),
		"--client-ca-file="+c.pki("ca.crt"),
		"--cert-dir="+c.data("apiserver"),
		"--kubelet-certificate-authority="+c.pki("ca.crt"),
		"--kubelet-client-certificate="+c.pki("apiserver-client.crt"),
		"--kubelet-client-key="+c.pki("apiserver-client.key"),
		"--kubelet-preferred-address-types=InternalIP",
		"--requestheader-client-ca-file="+c.pki("ca.crt"),
		"--requestheader-allowed-names="+frontProxy,
		"--requestheader-username-headers=X-Remote-User",
		"--requestheader-group-headers=X-Remote-Group",
		"--requestheader-extra-headers-prefix=X-Remote-Extra-",
		"--proxy-client-cert-file="+c.pki(frontProxy+".crt"),
		"--proxy-client-key-file="+c.pki(frontProxy+".key"),
		"--service-account-issuer="+issuer,
		"--service-account-key-file="+c.pki("service-accounts.pub"),
		"--service-account-signing-key-file="+c.pki("service-accounts.key"),
		"--service-cluster-ip-range="+machine.Services,
		"--service-node-port-range="+c.NodePorts.String(),
		"--authorization-mode=Node,RBAC",
		"--enable-admission-plugins=NodeRestriction",
		"--allow-privileged",
	)
}

func (c Config) controllerManager() supervise.Component {
	kubeconfig := c.pki("kube-controller-manager.kubeconfig")
	return c.kubernetes("kube-controller-manager",
		"--kubeconfig="+kubeconfig,
		"--authentication-kubeconfig="+kubeconfig,
		"--authorization-kubeconfig="+kubeconfig,
		"--bind-address=127.0.0.1",
		"--cert-dir="+c.data("controller-manager"),
		"--leader-elect=false",
		"--controllers=*,-node-ipam-controller,-cloud-node-lifecycle-controller",
		"--use-service-account-credentials",
		// It asks for the credentials of forty controllers, by default twenty in a second.
		"--kube-api-qps=500",
		"--kube-api-burst=500",
		"--root-ca-file="+c.pki("ca.crt"),
		"--service-account-private-key-file="+c.pki("service-accounts.key"),
		"--cluster-signing-cert-file="+c.pki("ca.crt"),
		"--cluster-signing-key-file="+c.pki("ca.key"),
	)
}

func (c Config) scheduler() supervise.Component {
	kubeconfig := c.pki("kube-scheduler.kubeconfig")
	return c.kubernetes("kube-scheduler",
		"--kubeconfig="+kubeconfig,
		"--authentication-kubeconfig="+kubeconfig,
		"--authorization-kubeconfig="+kubeconfig,
		"--bind-address=127.0.0.1",
		"--cert-dir="+c.data("scheduler"),
		"--leader-elect=false",
	)
}

func (c Config) kubelet() supervise.Component {
	return c.kubernetes("kubelet",
		"--config="+c.data("kubelet.yaml"),
		"--kubeconfig="+c.pki("kubelet.kubeconfig"),
		"--root-dir="+c.data("kubelet"),
		"--hostname-override="+Name,
		"--node-ip="+machine.Address,
	)
}

func (c Config) proxy() supervise.Component {
	return c.kubernetes("kube-proxy", "--config="+c.data("kube-proxy.yaml"))
}

func (c Config) containerd() supervise.Component {
	return supervise.Component{
		Name:    "containerd",
		Program: c.program("containerd"),
		Args:    []string{"--config", c.data("containerd.toml")},
	}
}

// Puts the image that holds a pod's namespaces into containerd, for which there
// is no registry to fetch it from.
func (c Config) importPause() supervise.Component {
	return supervise.Component{
		Name:    "import-pause",
		Program: c.program("ctr"),
		Args:    []string{"--address", containerdSocket, "--namespace", "k8s.io", "images", "import", "--snapshotter", c.snapshotter(), c.program("pause.tar")},
	}
}

func (c Config) registry() supervise.Component {
	return supervise.Component{
		Name:    "registry",
		Program: c.program("registry"),
		Args:    []string{"serve", c.data("registry.yaml")},
		Env:     []string{"OTEL_TRACES_EXPORTER=none"},
	}
}

func (c Config) azurite() supervise.Component {
	return supervise.Component{
		Name:    "azurite",
		Program: "node",
		Args: []string{
			c.program("azurite/node_modules/azurite/dist/src/blob/main.js"),
			"--blobHost", "0.0.0.0", "--blobPort", fmt.Sprint(AzuritePort),
			"--location", c.data("azurite"),
			"--silent", "--skipApiVersionCheck", "--disableTelemetry",
		},
	}
}
