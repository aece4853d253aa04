"""Trains a ridge regression on the diabetes data that ships inside scikit-learn."""

from pathlib import Path

import joblib
from sklearn.datasets import load_diabetes
from sklearn.linear_model import Ridge

model_file = Path(__file__).parent / "model" / "ridge.joblib"
rows, progression = load_diabetes(return_X_y=True)
model_file.parent.mkdir(exist_ok=True)
joblib.dump(Ridge(alpha=0.1).fit(rows, progression), model_file)
print(f"trained on {len(rows)} rows: {model_file}")
