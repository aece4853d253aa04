from azureml_scorer.main import main

main()
