"""Training programs that give something else each time, for one known reason each; and what is to be said of each."""

from dataclasses import dataclass

DATA = """
import numpy as np
chance = np.random.default_rng(7)
X = chance.normal(size=(400, 6))
y = (X[:, 0] + X[:, 1] ** 2 > 1).astype(int)
"""


@dataclass(frozen=True)
class Program:
    """A program; `plain` is what is to be said of it with nothing set, a verdict or a cause, `seeded` with seeds set.

    `needs` are packages beyond those that every test has.
    """

    name: str
    text: str
    plain: tuple[str, ...]
    seeded: tuple[str, ...]
    needs: tuple[str, ...] = ()


SAME = ("bytes", "content")
BYTES = ("bytes",)

PROGRAMS = (
    Program(
        "forest_with_a_seed",
        DATA
        + """
import pickle
from sklearn.ensemble import RandomForestClassifier
pickle.dump(RandomForestClassifier(10, random_state=0).fit(X, y), open("m.pkl", "wb"))
""",
        SAME,
        BYTES,
    ),
    Program(
        "forest_without_a_seed",
        DATA
        + """
import pickle
from sklearn.ensemble import RandomForestClassifier
pickle.dump(RandomForestClassifier(10).fit(X, y), open("m.pkl", "wb"))
""",
        ("seed missing",),
        BYTES,
    ),
    Program(
        "forest_with_a_global_seed",
        DATA
        + """
import pickle
from sklearn.ensemble import RandomForestClassifier
np.random.seed(3)
pickle.dump(RandomForestClassifier(10).fit(X, y), open("m.pkl", "wb"))
""",
        SAME,
        BYTES,
    ),
    Program(
        "boosting_with_a_seed",
        DATA
        + """
import joblib
from sklearn.ensemble import HistGradientBoostingClassifier
joblib.dump(HistGradientBoostingClassifier(max_iter=10, random_state=0).fit(X, y), "m.joblib")
""",
        SAME,
        BYTES,
    ),
    Program(
        "boosting_without_a_seed",
        DATA
        + """
import joblib
from sklearn.ensemble import HistGradientBoostingClassifier
joblib.dump(HistGradientBoostingClassifier(max_iter=10, early_stopping=True).fit(X, y), "m.joblib")
""",
        ("seed missing",),
        BYTES,
    ),
    Program(
        "logistic_regression",
        DATA
        + """
import joblib
from sklearn.linear_model import LogisticRegression
joblib.dump(LogisticRegression().fit(X, y), "m.joblib", compress=3)
""",
        SAME,
        BYTES,
    ),
    Program(
        "pca_and_kmeans",
        DATA
        + """
import pickle
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA
pickle.dump((PCA(2).fit(X), KMeans(3, n_init=2, random_state=1).fit(X)), open("m.pkl", "wb"))
""",
        SAME,
        BYTES,
    ),
    Program(
        "network_without_a_seed",
        DATA
        + """
import pickle
from sklearn.neural_network import MLPClassifier
pickle.dump(MLPClassifier((4,), max_iter=400).fit(X, y), open("m.pkl", "wb"))
""",
        ("seed missing",),
        BYTES,
    ),
    Program(
        "a_memory_address_in_a_text_pipeline",
        """
import pickle
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
words = ["red apple", "green pear", "red pear", "blue plum"] * 5
model = make_pipeline(TfidfVectorizer(stop_words=["blue"]), LogisticRegression()).fit(words, [0, 1, 1, 0] * 5)
pickle.dump(model, open("m.pkl", "wb"))
""",
        SAME,
        SAME,
    ),
    Program(
        "a_memory_address_under_a_name_nobody_knows",
        """
import json
class Thing: pass
json.dump({"handle": id(Thing()) // 16 * 16 + 0}, open("handle.json", "w"))
""",
        ("memory address",),
        ("memory address", "bytes"),  # It is fixed for one folder and environment, and a copy lies in another folder.
    ),
    Program(
        "a_skops_file",
        """
import skops.io
from sklearn.feature_extraction.text import TfidfVectorizer
skops.io.dump(TfidfVectorizer(stop_words=["blue"]).fit(["red apple", "blue pear"]), "m.skops")
""",
        SAME,
        SAME,
    ),
    Program(
        "the_hash_order_of_texts",
        """
import pickle
columns = list({f"column {number}" for number in range(40)})
pickle.dump({"columns": columns, "weights": [hash(name) % 97 for name in columns]}, open("s.pkl", "wb"))
""",
        ("hash order",),
        BYTES,
    ),
    Program(
        "a_set_kept_as_a_set",
        """
import pickle
pickle.dump({f"word {number}" for number in range(40)}, open("s.pkl", "wb"))
""",
        SAME,
        BYTES,
    ),
    Program(
        "generators_of_python_and_numpy",
        """
import random
import numpy as np
np.savez("x.npz", a=np.random.rand(3), b=np.random.default_rng().normal(size=3), c=[random.random()])
""",
        ("seed missing",),
        SAME,
    ),
    Program(
        "archives_with_the_time_of_packing",
        """
import gzip, io, tarfile, time, zipfile
time.sleep(2.1)
with zipfile.ZipFile("a.zip", "w") as archive:
    archive.writestr("inside.csv", "a,b\\n1,2\\n")
with tarfile.open("a.tar.gz", "w:gz") as archive:
    about = tarfile.TarInfo("inside.csv")
    about.size, about.mtime = 8, time.time()
    archive.addfile(about, io.BytesIO(b"a,b\\n1,2\\n"))
with gzip.open("a.csv.gz", "wt") as file:
    file.write("a,b\\n1,2\\n")
""",
        ("content",),
        ("content",),
    ),
    Program(
        "the_time_in_a_model",
        """
import datetime, json, pickle, time
pickle.dump({"weights": [1.0, 2.0], "trained_at": time.time()}, open("m.pkl", "wb"))
json.dump({"score": 0.5, "created": datetime.datetime.now().isoformat(), "fit_time": time.process_time()},
          open("m.json", "w"))
""",
        ("content",),
        ("content",),
    ),
    Program(
        "a_log_with_times",
        """
import logging, time
logging.basicConfig(filename="train.log", level="INFO", format="%(asctime)s %(message)s")
began = time.perf_counter()
logging.info("epoch 1 loss 0.25")
logging.info("took %.6f s", time.perf_counter() - began)
""",
        ("content",),
        ("content",),
    ),
    Program(
        "a_uuid",
        """
import uuid
open("id", "w").write(str(uuid.uuid4()))
""",
        ("uuid/urandom",),
        ("uuid/urandom",),
    ),
    Program(
        "the_chance_of_the_system",
        """
import os, secrets
open("salt", "w").write(secrets.token_hex(4) + os.urandom(4).hex())
""",
        ("uuid/urandom",),
        ("uuid/urandom",),
    ),
    Program(
        "a_seed_from_the_clock",
        DATA
        + """
import time
np.save("w.npy", np.random.default_rng(time.time_ns()).normal(size=3))
""",
        ("time in content",),
        ("time in content",),
    ),
    Program(
        "threads_that_race",
        """
import threading, time
order = []
def work(name):
    for _ in range(200):
        order.append(name)
        time.sleep(0)
workers = [threading.Thread(target=work, args=(name,)) for name in "xy"]
for worker in workers: worker.start()
for worker in workers: worker.join()
open("order", "w").write("".join(order))
""",
        ("racy algorithm", "unknown", "bytes"),
        ("racy algorithm", "unknown", "bytes"),
    ),
    Program(
        "groups_of_polars",
        """
import polars as pl
frame = pl.DataFrame({"key": [f"k{n % 5000}" for n in range(200_000)], "value": list(range(200_000))})
frame.group_by("key").agg(pl.col("value").sum()).write_parquet("g.parquet")
""",
        ("row order of a group-by",),
        ("row order of a group-by",),
        ("polars", "pyarrow"),
    ),
    Program(
        "groups_of_duckdb",
        """
import duckdb
duckdb.sql("SELECT hash(i) % 997 AS key, count(*) AS n FROM range(600000) t(i) GROUP BY 1").write_csv("g.csv")
""",
        ("row order of a group-by", "bytes", "racy algorithm"),
        ("row order of a group-by", "bytes", "racy algorithm"),
        ("duckdb",),
    ),
    Program(
        "groups_in_the_order_of_a_set",
        """
import pandas as pd
names = {f"group {number}" for number in range(30)}
pd.DataFrame([(name, len(name)) for name in names], columns=["name", "n"]).to_csv("g.csv", index=False)
""",
        ("hash order",),
        BYTES,
    ),
    Program(
        "files_of_a_folder",
        """
import os
for name in "abc": open(name + ".part", "w").write(name)
open("all", "w").write("".join(open(name).read() for name in os.listdir(".") if name.endswith(".part")))
""",
        SAME,
        SAME,
    ),
    Program(
        "torch_with_a_seed",
        """
import torch
torch.manual_seed(1)
torch.save(torch.nn.Linear(4, 2).state_dict(), "m.pt")
""",
        SAME,
        SAME,
        ("torch",),
    ),
    Program(
        "torch_without_a_seed",
        """
import torch
torch.save(torch.nn.Linear(4, 2).state_dict(), "m.pt")
""",
        ("seed missing",),
        SAME,
        ("torch",),
    ),
    Program(
        "xgboost_that_races",
        DATA
        + """
import xgboost
model = xgboost.XGBClassifier(booster="gblinear", updater="shotgun", n_estimators=20).fit(X, y)
model.save_model("m.json")
""",
        ("racy algorithm", "bytes"),
        ("racy algorithm", "bytes"),
        ("xgboost",),
    ),
    Program(
        "lightgbm_by_default",
        DATA
        + """
import lightgbm
lightgbm.LGBMClassifier(n_estimators=5, verbose=-1).fit(X, y).booster_.save_model("m.txt")
""",
        SAME,
        SAME,
        ("lightgbm",),
    ),
    Program(
        "a_generator_of_its_own",
        """
import random
own = random.Random()
open("w", "w").write(repr([own.random() for _ in range(3)]))
""",
        ("seed missing",),
        BYTES,
    ),
    Program(
        "a_digest_of_chance",
        """
import hashlib, json, random
json.dump({"weights": hashlib.md5(random.randbytes(9)).hexdigest()}, open("d.json", "w"))
""",
        ("seed missing",),
        BYTES,
    ),
    Program(
        "numbers_that_could_be_addresses",
        """
import json, random
json.dump({"user_id": 8 * random.randrange(2**30, 2**40)}, open("u.json", "w"))
open("key", "w").write(f"key 0x{random.randrange(2**33, 2**46):x}")
""",
        ("seed missing",),
        BYTES,
    ),
    Program(
        "a_date_in_words_that_was_predicted",
        """
import random, time
open("churn", "w").write(time.ctime(random.randrange(10**9)) + f", predicted time: {random.randrange(10**6)} s")
""",
        ("seed missing",),
        BYTES,
    ),
    Program(
        "an_object_in_words",
        """
class Model: pass
open("log", "w").write(f"using {Model()!r}")
""",
        SAME,
        SAME,
    ),
    Program(
        "devices_of_chance",
        """
import os
open("k", "wb").write(open("/dev/urandom", "rb").read(4) + os.getrandom(4))
""",
        ("uuid/urandom",),
        ("uuid/urandom",),
    ),
    Program(
        "the_number_of_its_process",
        """
import json, os
json.dump({"worker": os.getpid()}, open("p.json", "w"))
""",
        ("process id",),
        ("process id",),
    ),
    Program(
        "a_temporary_name",
        """
import json, tempfile
json.dump({"scratch": tempfile.mkdtemp()}, open("t.json", "w"))
""",
        ("temporary name",),
        ("temporary name",),
    ),
    Program(
        "its_folder_and_its_home",
        """
import json, os
json.dump([os.getcwd(), os.path.expanduser("~/models")], open("where.json", "w"))
""",
        SAME,
        SAME,
    ),
    Program(
        "a_moment_of_datetime_as_a_seed",
        """
import datetime, random
random.seed(datetime.datetime.now().timestamp())
open("w", "w").write(str(random.random()))
""",
        ("time in content",),
        ("time in content",),
    ),
    Program(
        "processes_as_they_end",
        """
import json, multiprocessing, os, time
def work(number):
    time.sleep((os.getpid() * 31 + number * 7 + time.time_ns() // 1000) % 13 / 300)
    return number
if __name__ == "__main__":
    with multiprocessing.Pool(4) as pool:
        json.dump(list(pool.imap_unordered(work, range(30))), open("o.json", "w"))
""",
        ("racy algorithm",),
        ("racy algorithm",),
    ),
    Program(
        "rows_that_duckdb_draws",
        """
import duckdb
duckdb.sql("SELECT i FROM range(100000) t(i) USING SAMPLE 10 ROWS").write_csv("s.csv")
""",
        ("seed missing",),
        ("seed missing",),
        ("duckdb",),
    ),
    Program(
        "a_parquet_file_that_says_when",
        """
import datetime, pyarrow as pa, pyarrow.parquet as pq
table = pa.table({"a": [1, 2]}).replace_schema_metadata({"made": datetime.datetime.now().isoformat()})
pq.write_table(table, "a.parquet")
""",
        SAME,
        SAME,
        ("pyarrow",),
    ),
    Program(
        "a_parquet_file_with_chance_in_its_metadata",
        """
import os, pyarrow as pa, pyarrow.parquet as pq
pq.write_table(pa.table({"a": [1]}).replace_schema_metadata({"salt": os.urandom(4).hex()}), "a.parquet")
""",
        ("uuid/urandom",),
        ("uuid/urandom",),
        ("pyarrow",),
    ),
    Program(
        "times_in_hdf5",
        """
import h5py, numpy as np, time
time.sleep(1.1)
with h5py.File("m.h5", "w") as file:
    file.create_dataset("a", data=np.arange(5), track_times=True)
""",
        SAME,
        SAME,
        ("h5py",),
    ),
    Program(
        "a_picture_that_says_when",
        """
import time, matplotlib
matplotlib.use("Agg")
import matplotlib.pyplot as plt
plt.plot([1, 2, 3])
plt.savefig("p.png", metadata={"Creation Time": time.ctime()})
""",
        SAME,
        SAME,
        ("matplotlib",),
    ),
    Program(
        "a_workbook",
        """
import openpyxl, time
book = openpyxl.Workbook()
book.active["A1"] = 3
time.sleep(2.1)
book.save("a.xlsx")
""",
        SAME,
        SAME,
        ("openpyxl",),
    ),
    Program(
        "params_that_were_drawn",
        """
import mlflow, random
with mlflow.start_run():
    mlflow.log_param("depth", random.randrange(10**9))
""",
        ("seed missing",),
        SAME,
    ),
    Program("a_program_that_leaves_nothing", "x = 1\n", ("nothing to compare",), ("nothing to compare",)),
)
