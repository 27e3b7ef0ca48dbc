-- One row per programme, outcome, use and code that the outcome counts (definitions, section 5).

with
outcome_code_groups as (

    select * from {{ ref('outcome_code_groups') }}

),

code_groups as (

    select * from {{ ref('code_groups') }}

),

final as (

    select distinct
        outcome_code_groups.programme,
        outcome_code_groups.outcome,
        outcome_code_groups.group_use,
        code_groups.code
    from outcome_code_groups
    inner join code_groups on outcome_code_groups.code_group = code_groups.code_group

)

select * from final
