package node

import (
	"fmt"

	"github.com/openazureml/terraform-provider-azureml/tests/acceptance/cluster/internal/machine"
	"github.com/openazureml/terraform-provider-azureml/tests/acceptance/cluster/internal/pki"
)

// Issue makes every key, certificate and kubeconfig file of the node. Each
// component is its own user, with the rights that Kubernetes gives that user
// and no more.
func (c Config) Issue() error {
	authority, err := pki.New(PKI(c.State))
	if err != nil {
		return err
	}
	if err := authority.SigningKey("service-accounts"); err != nil {
		return err
	}
	certificates := map[string]pki.Subject{
		"apiserver": {Name: "kube-apiserver", Hosts: []string{
			"127.0.0.1", machine.Address, machine.APIServer, "localhost",
			"kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc.cluster.local",
		}},
		"kubelet-server":   {Name: Name, Hosts: []string{Name, machine.Address, "127.0.0.1"}},
		frontProxy:         {Name: frontProxy},
		"apiserver-client": {Name: "kube-apiserver-kubelet-client", Groups: []string{"system:masters"}},
	}
	for file, subject := range certificates {
		if _, _, err := authority.Issue(file, subject); err != nil {
			return fmt.Errorf("the certificate of %s: %w", file, err)
		}
	}
	users := map[string]pki.Subject{
		"kube-controller-manager": {Name: "system:kube-controller-manager"},
		"kube-scheduler":          {Name: "system:kube-scheduler"},
		"kube-proxy":              {Name: "system:kube-proxy"},
		"kubelet":                 {Name: "system:node:" + Name, Groups: []string{"system:nodes"}},
	}
	for component, subject := range users {
		if err := authority.Kubeconfig(c.pki(component+".kubeconfig"), component, c.server(), subject); err != nil {
			return err
		}
	}
	administrator := pki.Subject{Name: "administrator", Groups: []string{"system:masters"}}
	return authority.Kubeconfig(Kubeconfig(c.State), "administrator", c.server(), administrator)
}
