//go:build linux

package main

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/openazureml/terraform-provider-azureml/tests/acceptance/cluster/internal/launch"
	"github.com/openazureml/terraform-provider-azureml/tests/acceptance/cluster/internal/oci"
)

type testNode struct {
	state             string
	launcher          *exec.Cmd
	errors            *bytes.Buffer
	env               map[string]string
	client            *http.Client
	server, namespace string
}

type builtPrograms struct{ launcher, binaries string }

// The launcher and the node's programs, as make names them, or built here.
var built = sync.OnceValues(func() (builtPrograms, error) {
	given := builtPrograms{os.Getenv("NODE_UP"), os.Getenv("NODE_BINARIES")}
	if given.launcher != "" && given.binaries != "" {
		return given, nil
	}
	folder, err := os.MkdirTemp("", "node-up")
	if err != nil {
		return given, err
	}
	launcher := filepath.Join(folder, "node-up")
	if output, err := exec.Command("go", "build", "-o", launcher, ".").CombinedOutput(); err != nil {
		return given, fmt.Errorf("go build: %w: %s", err, output)
	}
	builder := exec.Command(launcher, "build", "--sources", ".")
	builder.Stderr = os.Stderr
	output, err := builder.Output()
	return builtPrograms{launcher, strings.TrimSpace(string(output))}, err
})

// Skips the test where no node can run, but not in CI.
func programs(t *testing.T) builtPrograms {
	t.Helper()
	if err := launch.Check(); err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal(err)
		}
		t.Skip("SKIPPED: ", err)
	}
	programs, err := built()
	if err != nil {
		t.Fatal(err)
	}
	return programs
}

// A test's own folder has too long a name for a socket.
func newState(t *testing.T) string {
	t.Helper()
	state, err := os.MkdirTemp("", "node")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(state) })
	return state
}

func startNode(t *testing.T) *testNode {
	t.Helper()
	programs(t)
	node := &testNode{state: newState(t)}
	node.start(t)
	return node
}

func (n *testNode) start(t *testing.T) {
	t.Helper()
	programs := programs(t)
	n.errors = &bytes.Buffer{}
	n.launcher = exec.Command(programs.launcher, "start", "--state", n.state, "--binaries", programs.binaries)
	n.launcher.Stderr = n.errors
	n.launcher.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	output, err := n.launcher.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	launcher := n.launcher
	if err := launcher.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if launcher.ProcessState == nil {
			_ = launcher.Process.Signal(syscall.SIGTERM)
			_ = launcher.Wait()
		}
	})
	// Written when the node is ready; at its end, if that comes first.
	if _, err := io.ReadFull(output, make([]byte, 1)); err != nil {
		_ = launcher.Wait()
		t.Fatalf("the node did not start: %s", n.errors)
	}
	lines, err := launch.ReadEnv(n.state)
	if err != nil {
		t.Fatal(err)
	}
	n.env = map[string]string{}
	for _, line := range lines {
		key, value, _ := strings.Cut(line, "=")
		n.env[key] = value
	}
	n.connect(t)
}

// As our kubeconfig files are all of one shape, no YAML has to be understood.
func (n *testNode) connect(t *testing.T) {
	t.Helper()
	text, err := os.ReadFile(n.env["KUBECONFIG"])
	if err != nil {
		t.Fatal(err)
	}
	field := func(name string) string {
		_, rest, _ := strings.Cut(string(text), name+": ")
		value, _, _ := strings.Cut(rest, "\n")
		return value
	}
	content := func(name string) []byte {
		value, err := base64.StdEncoding.DecodeString(field(name))
		if err != nil {
			t.Fatal(err)
		}
		return value
	}
	identity, err := tls.X509KeyPair(content("client-certificate-data"), content("client-key-data"))
	if err != nil {
		t.Fatal(err)
	}
	authorities := x509.NewCertPool()
	authorities.AppendCertsFromPEM(content("certificate-authority-data"))
	n.server = field("server")
	n.client = &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: authorities, Certificates: []tls.Certificate{identity}},
	}}
}

func (n *testNode) request(method, path, body string) (string, error) {
	request, err := http.NewRequest(method, n.server+path, strings.NewReader(body))
	if err != nil {
		return "", err
	}
	request.Header.Set("Content-Type", "application/json")
	return read(n.client.Do(request))
}

func (n *testNode) create(t *testing.T, path, object string) {
	t.Helper()
	if _, err := n.request(http.MethodPost, path, object); err != nil {
		t.Fatal(err)
	}
}

// The port of this machine that a NodePort has.
func (n *testNode) nodePort(inside string) string {
	_, rest, _ := strings.Cut(","+n.env["NODE_PORTS"], ","+inside+":")
	port, _, _ := strings.Cut(rest, ",")
	return port
}

// Pushes an image of testdata/hello to the node's registry, and returns its name.
func (n *testNode) pushHello(t *testing.T) string {
	t.Helper()
	program := filepath.Join(t.TempDir(), "hello")
	builder := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w", "-o", program, "./testdata/hello")
	builder.Env = append(os.Environ(), "CGO_ENABLED=0")
	if output, err := builder.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v: %s", err, output)
	}
	content, err := os.ReadFile(program)
	if err != nil {
		t.Fatal(err)
	}
	image, err := oci.Scratch("hello", content)
	if err != nil {
		t.Fatal(err)
	}
	repository := "http://" + n.env["REGISTRY"] + "/v2/hello/"
	for _, blob := range []oci.Blob{image.Config, image.Layer} {
		response, err := http.Post(repository+"blobs/uploads/", "", nil)
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
		put(t, response.Header.Get("Location")+"&digest="+blob.Digest, "application/octet-stream", blob.Content)
	}
	put(t, repository+"manifests/1", image.Manifest.MediaType, image.Manifest.Content)
	return n.env["REGISTRY"] + "/hello:1"
}

func put(t *testing.T, url, mediaType string, content []byte) {
	t.Helper()
	request, err := http.NewRequest(http.MethodPut, url, bytes.NewReader(content))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Content-Type", mediaType)
	if _, err := read(http.DefaultClient.Do(request)); err != nil {
		t.Fatal(err)
	}
}

// The body of an answer that is a success.
func read(response *http.Response, err error) (string, error) {
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode >= 300 {
		err = fmt.Errorf("%s %s: %s: %s", response.Request.Method, response.Request.URL, response.Status, body)
	}
	return string(body), err
}
