"""Scores ten rows over HTTP and compares them with the model's own predictions."""

import json
import os
import subprocess
import sys
import urllib.request
from pathlib import Path

import joblib
from sklearn.datasets import load_diabetes

here = Path(__file__).resolve().parent
terraform = os.environ.get("TERRAFORM", "terraform")


def output(name):
    command = [terraform, f"-chdir={here}", "output", "-raw", name]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


uri = output("scoring_uri")
directory = output("compute_directory")
router = Path(os.environ["AZUREML_FE"])
shown = [router, "service", "keys", "diabetes", "--directory", directory, "--json"]
key = json.loads(subprocess.run(shown, check=True, capture_output=True, text=True).stdout)["primary"]

rows = load_diabetes().data[:10]
request = urllib.request.Request(
    uri,
    data=json.dumps({"data": rows.tolist()}).encode(),
    headers={"Authorization": f"Bearer {key}", "Content-Type": "application/json"},
)
with urllib.request.urlopen(request) as answer:
    scored = json.load(answer)
expected = joblib.load(here / "model" / "ridge.joblib").predict(rows).tolist()

print("  over HTTP   in Python")
for over_http, in_python in zip(scored, expected, strict=True):
    print(f"{over_http:11.4f} {in_python:11.4f}")
if scored != expected:
    sys.exit("The service's predictions differ from the model's own.")

print(f"""
Ten equal predictions. The model answers at
  {uri}

Next:
  # score again
  curl -H "Authorization: Bearer $({router} service keys diabetes --directory {directory} --json | python3 -c 'import json, sys; print(json.load(sys.stdin)["primary"])')" \\
       -H 'Content-Type: application/json' -d '{json.dumps({"data": [[round(value, 4) for value in rows[0]]]})}' {uri}
  # change examples/quickstart/src/score.py and roll it out without a failed request
  make quickstart
  # read the logs of the replicas
  {router} service logs diabetes --directory {directory}
  # remove everything
  make quickstart-destroy""")
