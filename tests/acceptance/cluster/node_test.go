//go:build linux

package main

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestANodeServesADeploymentOnANodePortAndIsGoneWithItsLauncher(t *testing.T) {
	t.Parallel()
	node := startNode(t)
	image := node.pushHello(t)
	node.create(t, "/api/v1/namespaces", `{"metadata": {"name": "strict", "labels": {"pod-security.kubernetes.io/enforce": "restricted"}}}`)
	node.create(t, "/apis/apps/v1/namespaces/strict/deployments", strings.ReplaceAll(deployment, "IMAGE", image))
	node.create(t, "/api/v1/namespaces/strict/services", service)
	eventually(t, "a pod answers on the NodePort", func() error {
		text, err := read(http.Get("http://127.0.0.1:" + node.nodePort("30080")))
		if err == nil && !strings.HasPrefix(text, "hello-") {
			err = fmt.Errorf("an unknown server answered %q", text)
		}
		return err
	})

	inside, before := node.processes(t), interfaces(t)
	if len(inside) < 8 {
		t.Fatalf("only %d processes are in the node", len(inside))
	}
	if err := node.launcher.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = node.launcher.Wait()
	eventually(t, "every process of the node is gone", func() error {
		if left := node.processes(t); len(left) > 0 {
			return fmt.Errorf("the processes %v are left", left)
		}
		return nil
	})
	if after := interfaces(t); after != before {
		t.Errorf("the network devices were %s and are %s", before, after)
	}
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(mounts), node.state) {
		t.Errorf("a mount is left: %s", mounts)
	}
}

func TestANodeStartsWhereAKilledOneLeftItsFilesAndClearsThemWhenItEnds(t *testing.T) {
	t.Parallel()
	node := startNode(t)
	if err := node.launcher.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	killed := node.launcher.Process.Pid
	_ = node.launcher.Wait()
	node.start(t)
	if output, err := exec.Command(node.launcher.Path, "stop", "--state", node.state).CombinedOutput(); err != nil {
		t.Fatalf("stop: %v: %s", err, output)
	}
	if err := node.launcher.Wait(); err != nil {
		t.Errorf("a node that was told to end failed: %v", err)
	}
	for _, launcher := range []int{killed, node.launcher.Process.Pid} {
		groups, _ := filepath.Glob(fmt.Sprintf("/sys/fs/cgroup/*/acceptance-node-%d", launcher))
		if len(groups) > 0 {
			t.Errorf("control groups are left: %v", groups)
		}
	}
	for _, name := range []string{"data", "env", "kubeconfig"} {
		if _, err := os.Stat(filepath.Join(node.state, name)); err == nil {
			t.Errorf("%s is left", name)
		}
	}
}

func TestAnApiserverThatIsStoppedOrPausedAnswersAgainAfterwards(t *testing.T) {
	t.Parallel()
	node := startNode(t)
	const version = "/version"
	for _, words := range [][2]string{{"stop", "start"}, {"pause", "continue"}} {
		node.apiserver(t, words[0])
		if _, err := node.request(http.MethodGet, version, ""); err == nil {
			t.Errorf("the apiserver answers after %s", words[0])
		}
		node.apiserver(t, words[1])
		if _, err := node.request(http.MethodGet, version, ""); err != nil {
			t.Errorf("the apiserver does not answer after %s: %v", words[1], err)
		}
	}
}

func TestTwoNodesKnowNothingOfEachOther(t *testing.T) {
	t.Parallel()
	first, second := startNode(t), startNode(t)
	first.create(t, "/api/v1/namespaces", `{"metadata": {"name": "only-here"}}`)
	if _, err := second.request(http.MethodGet, "/api/v1/namespaces/only-here", ""); err == nil || !strings.Contains(err.Error(), "404") {
		t.Errorf("the second node's answer about a namespace of the first one: %v", err)
	}
	first.pushHello(t)
	if _, err := read(http.Get("http://" + second.env["REGISTRY"] + "/v2/hello/tags/list")); err == nil {
		t.Error("the second node's registry has what was pushed to the first one")
	}
}

func TestANodeEndsAndSaysWhyWhenAComponentDies(t *testing.T) {
	t.Parallel()
	node := startNode(t)
	for _, pid := range node.processes(t) {
		if line, _ := os.ReadFile(filepath.Join("/proc", pid, "cmdline")); strings.Contains(string(line), "\x00kube-scheduler\x00") {
			var number int
			fmt.Sscan(pid, &number)
			if err := syscall.Kill(number, syscall.SIGKILL); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := node.launcher.Wait(); err == nil {
		t.Error("the launcher says that all was well")
	}
	said := node.errors.String()
	if !strings.Contains(said, "kube-scheduler was ended by signal 9 (killed)") || !strings.Contains(said, "last lines of its log") {
		t.Errorf("the launcher said %q", said)
	}
}

func TestAProgramRunsWithTheAddressesOfANodeThatEndsWithIt(t *testing.T) {
	t.Parallel()
	state := newState(t)
	run := exec.Command(programs(t).launcher, "run", "--state", state, "--binaries", programs(t).binaries, "--",
		"sh", "-c", `test -r "$KUBECONFIG" && test -n "$REGISTRY" && exit 7`)
	output, _ := run.CombinedOutput()
	if status := run.ProcessState.ExitCode(); status != 7 {
		t.Errorf("the status is %d: %s", status, output)
	}
	if _, err := os.Stat(filepath.Join(state, "kubeconfig")); err == nil {
		t.Error("the node's files are left")
	}
}

// All that run in the node's process namespace.
func (n *testNode) processes(t *testing.T) []string {
	t.Helper()
	if n.namespace == "" {
		enter, err := os.ReadFile(n.env["ENTER"])
		if err != nil {
			t.Fatal(err)
		}
		pid := regexp.MustCompile(`/proc/(\d+)/ns/net`).FindSubmatch(enter)
		if n.namespace, err = os.Readlink(fmt.Sprintf("/proc/%s/ns/pid", pid[1])); err != nil {
			t.Fatal(err)
		}
	}
	all, _ := filepath.Glob("/proc/[0-9]*/ns/pid")
	var found []string
	for _, link := range all {
		if namespace, err := os.Readlink(link); err == nil && namespace == n.namespace {
			found = append(found, strings.Split(link, "/")[2])
		}
	}
	return found
}

func (n *testNode) apiserver(t *testing.T, word string) {
	t.Helper()
	if output, err := exec.Command(n.launcher.Path, "apiserver", word, "--state", n.state).CombinedOutput(); err != nil {
		t.Fatalf("apiserver %s: %v: %s", word, err, output)
	}
}

func interfaces(t *testing.T) string {
	t.Helper()
	all, err := net.Interfaces()
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, one := range all {
		names = append(names, one.Name)
	}
	return strings.Join(names, " ")
}

// Waits until a condition holds.
func eventually(t *testing.T, what string, check func() error) {
	t.Helper()
	var err error
	for deadline := time.Now().Add(2 * time.Minute); time.Now().Before(deadline); time.Sleep(100 * time.Millisecond) {
		if err = check(); err == nil {
			return
		}
	}
	t.Fatalf("it did not come to pass that %s: %v", what, err)
}

const deployment = `{
  "metadata": {"name": "hello"},
  "spec": {
    "replicas": 2,
    "selector": {"matchLabels": {"app": "hello"}},
    "template": {
      "metadata": {"labels": {"app": "hello"}},
      "spec": {
        "securityContext": {"runAsNonRoot": true, "seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [{
          "name": "hello",
          "image": "IMAGE",
          "ports": [{"containerPort": 8080}],
          "readinessProbe": {"httpGet": {"port": 8080}, "periodSeconds": 1},
          "resources": {"requests": {"cpu": "10m", "memory": "16Mi"}, "limits": {"memory": "64Mi"}},
          "securityContext": {"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}}
        }]
      }
    }
  }
}`

const service = `{
  "metadata": {"name": "hello"},
  "spec": {"type": "NodePort", "selector": {"app": "hello"}, "ports": [{"port": 80, "targetPort": 8080, "nodePort": 30080}]}
}`

func TestAFolderWhoseNameIsTooLongForSocketsIsRefusedWithTheLengthThatIsNot(t *testing.T) {
	state := filepath.Join(newState(t), strings.Repeat("long", 20))
	output, err := exec.Command(programs(t).launcher, "start", "--state", state, "--binaries", programs(t).binaries).CombinedOutput()
	if err == nil || !strings.Contains(string(output), state) || !strings.Contains(string(output), "no more than 69") {
		t.Fatalf("%v: %s", err, output)
	}
}
