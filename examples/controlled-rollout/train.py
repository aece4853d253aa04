"""Trains three models on the diabetes data that ships inside scikit-learn."""

from pathlib import Path

import joblib
from sklearn.datasets import load_diabetes
from sklearn.ensemble import RandomForestRegressor
from sklearn.linear_model import Lasso, Ridge

models = {
    "ridge": Ridge(alpha=0.1),
    "lasso": Lasso(alpha=0.1),
    "forest": RandomForestRegressor(n_estimators=20, random_state=0),
}
folder = Path(__file__).parent / "models"
folder.mkdir(exist_ok=True)
rows, progression = load_diabetes(return_X_y=True)
for name, model in models.items():
    joblib.dump(model.fit(rows, progression), folder / f"{name}.joblib")
    print(f"trained {name} on {len(rows)} rows")
