package node

import (
	"fmt"
	"os"
	"strings"

	"github.com/openazureml/terraform-provider-azureml/tests/acceptance/cluster/internal/machine"
	"golang.org/x/sys/unix"
)

// PauseImage is the name of the image that holds a pod's namespaces.
const PauseImage = "localhost/pause:1"

// There is no name server in the node: a look-up is refused at once, and does
// not wait for one that it cannot reach.
const resolvConf = "nameserver " + machine.Address + "\noptions attempts:1 timeout:1\n"

const containerdConfig = `version = 3
root = "{data}/containerd"
state = "/run/containerd"
oom_score = 0

[grpc]
address = "{socket}"

[plugins."io.containerd.internal.v1.opt"]
path = "{data}/containerd/opt"

[plugins."io.containerd.cri.v1.images"]
snapshotter = "{snapshotter}"

[plugins."io.containerd.cri.v1.images".pinned_images]
sandbox = "{pause}"

[plugins."io.containerd.cri.v1.images".registry]
config_path = "{data}/registries"

[plugins."io.containerd.cri.v1.runtime"]
# A root without CAP_SYS_RESOURCE may not lower it.
restrict_oom_score_adj = true

[plugins."io.containerd.cri.v1.runtime".cni]
bin_dirs = ["{binaries}"]
conf_dir = "{data}/networks"

[plugins."io.containerd.cri.v1.runtime".containerd]
default_runtime_name = "runc"

[plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"

[plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc.options]
BinaryName = "{binaries}/runc"
`

const network = `{
  "cniVersion": "1.0.0",
  "name": "pods",
  "plugins": [
    {
      "type": "bridge",
      "bridge": "{bridge}",
      "isGateway": true,
      "hairpinMode": true,
      "ipam": {
        "type": "host-local",
        "ranges": [[{"subnet": "{pods}"}]],
        "routes": [{"dst": "0.0.0.0/0"}],
        "dataDir": "{data}/addresses"
      }
    },
    {"type": "portmap", "capabilities": {"portMappings": true}}
  ]
}
`

const kubeletConfig = `apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
address: {address}
authentication:
  anonymous: {enabled: false}
  webhook: {enabled: true}
  x509: {clientCAFile: "{pki}/ca.crt"}
authorization: {mode: Webhook}
tlsCertFile: "{pki}/kubelet-server.crt"
tlsPrivateKeyFile: "{pki}/kubelet-server.key"
containerRuntimeEndpoint: "unix://{socket}"
cgroupDriver: cgroupfs
cgroupRoot: "/{cgroup}"
failCgroupV1: false
failSwapOn: false
oomScoreAdj: 0
podLogsDir: "{logs}/pods"
resolvConf: "{data}/resolv.conf"
# Nobody answers there. Without it every pod would have an event that warns.
clusterDNS: ["{address}"]
clusterDomain: cluster.local
serializeImagePulls: false
registryPullQPS: 0
# Images that a test has pushed stay until the node ends.
imageGCHighThresholdPercent: 100
evictionHard:
  memory.available: 64Mi
  nodefs.available: 1%
  nodefs.inodesFree: 1%
  imagefs.available: 1%
`

// With nothing to set of the machine's connection tracking.
const proxyConfig = `apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
mode: iptables
clientConnection: {kubeconfig: "{pki}/kube-proxy.kubeconfig"}
clusterCIDR: {pods}
hostnameOverride: {node}
healthzBindAddress: {proxyHealth}
metricsBindAddress: 127.0.0.1:10249
conntrack: {maxPerCore: 0, min: 0, tcpEstablishedTimeout: 0s, tcpCloseWaitTimeout: 0s}
`

const registryConfig = `version: 0.1
log: {level: warn, accesslog: {disabled: true}}
storage:
  filesystem: {rootdirectory: "{data}/registry"}
  delete: {enabled: true}
http: {addr: "127.0.0.1:{registryPort}"}
`

const registryHost = `server = "http://{registry}"

[host."http://{registry}"]
capabilities = ["pull", "resolve"]
`

// Writes every component's file of settings.
func (c Config) writeFiles() error {
	registry := fmt.Sprintf("127.0.0.1:%d", c.RegistryPort)
	values := strings.NewReplacer(
		"{address}", machine.Address,
		"{binaries}", c.Binaries,
		"{bridge}", machine.Bridge,
		"{cgroup}", c.Cgroup,
		"{data}", c.data(),
		"{logs}", Logs(c.State),
		"{node}", Name,
		"{pause}", PauseImage,
		"{pki}", PKI(c.State),
		"{pods}", machine.Pods,
		"{proxyHealth}", proxyHealth,
		"{registry}", registry,
		"{registryPort}", fmt.Sprint(c.RegistryPort),
		"{snapshotter}", c.snapshotter(),
		"{socket}", containerdSocket,
	)
	// containerd names the folder of a registry with a port HOST_PORT_ or HOST:PORT.
	host := c.data("registries", registry)
	for _, folder := range []string{host, c.data("networks"), c.data("registry"), c.data("azurite"), Logs(c.State)} {
		if err := os.MkdirAll(folder, 0o700); err != nil {
			return err
		}
	}
	for path, text := range map[string]string{
		c.data("containerd.toml"):                    containerdConfig,
		c.data("networks", "10-pods.conflist"):       network,
		c.data("kubelet.yaml"):                       kubeletConfig,
		c.data("kube-proxy.yaml"):                    proxyConfig,
		c.data("registry.yaml"):                      registryConfig,
		c.data("registries", registry, "hosts.toml"): registryHost,
		c.data("resolv.conf"):                        resolvConf,
	} {
		if err := os.WriteFile(path, []byte(values.Replace(text)), 0o600); err != nil {
			return err
		}
	}
	return nil
}

// An overlay cannot lie on another one, as in a container.
func (c Config) snapshotter() string {
	var found unix.Statfs_t
	if err := unix.Statfs(c.State, &found); err == nil && found.Type == unix.OVERLAYFS_SUPER_MAGIC {
		return "native"
	}
	return "overlayfs"
}
