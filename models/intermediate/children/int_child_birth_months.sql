-- One row per child with a known birth month: the month most records give. Months of birth go before expected
-- months; ties go to the month in the latest return, then to the earliest month (definitions, section 3).

with
child_records as (

    select * from {{ ref('int_child_records') }}

),

months_counted as (

    select
        child_id,
        birth_month,
        is_expected_birth,
        count(*) as n_records,
        max(return_year) as last_return_year
    from child_records
    where birth_month is not null
    group by child_id, birth_month, is_expected_birth

),

months_ranked as (

    select
        child_id,
        birth_month,
        is_expected_birth,
        row_number() over (
            partition by child_id
            order by is_expected_birth asc, n_records desc, last_return_year desc, birth_month asc
        ) as preference
    from months_counted

),

conflicts as (

    select
        child_id,
        min(birth_month) <> max(birth_month) as is_birth_month_conflicting
    from months_counted
    where not is_expected_birth
    group by child_id

),

final as (

    select
        months_ranked.child_id,
        months_ranked.birth_month,
        months_ranked.is_expected_birth as is_birth_month_expected,
        coalesce(conflicts.is_birth_month_conflicting, false) as is_birth_month_conflicting
    from months_ranked
    left join conflicts on months_ranked.child_id = conflicts.child_id
    where months_ranked.preference = 1

)

select * from final
